"""How to make a probe succeed: what the probe saw evidence for, else what holds for every no.

What only other hardware or another kernel provides has no remedy.
"""

from __future__ import annotations

from worldswitch.harness.cell.records import ProbeResult

#: What root may do, unless a policy forbids it.
PRIVILEGED = ("pidns", "mountns", "ns_last_pid", "memcg", "cpuset", "freezer")
OUTSIDE = "run as root, outside of containers that forbid namespaces and control groups: sudo worldswitch run"

#: Remedies that need no evidence; hardware and kernel features have no entry.
REMEDIES = {
    **dict.fromkeys(("root", "other_user"), "run as root: sudo worldswitch run"),
    "container": "run it in a container: worldswitch run --engine docker",
    "pid1": "run it in a container without init: worldswitch run --profile no-init",
    "ptrace_denied": "run it where ptrace is denied: worldswitch run --profile no-ptrace",
    "stub_calls_denied": "run it where these calls are denied: worldswitch run --profile kill-mmap",
    "scarce_memory": "run it with little memory: worldswitch run --profile little-memory",
    "scarce_processes": "run it with few processes: worldswitch run --profile few-processes",
    "max_map_count": "run it with few mappings: worldswitch run --kernel 6.12 --profile few-mappings",
    **dict.fromkeys(
        ("yama", "yama_settable"), "run it on a kernel with Yama: worldswitch run --kernel 6.12 --profile yama-1"
    ),
    "smp": "add a second CPU to the machine, or to the affinity of this process",
}


def of(name: str, found: ProbeResult) -> str:
    """Return the remedy for this result of the probe `name`; empty if there is none.

    Root helps only where a policy forbids something, not where the kernel lacks it.
    """
    if found.state == "yes":
        return ""
    if found.remedy:
        return found.remedy
    if name in PRIVILEGED:
        return OUTSIDE if found.state == "denied" else ""
    return REMEDIES.get(name, "")
