"""How to make a probe succeed: what the probe saw evidence for, else what holds for every no."""

from __future__ import annotations

from worldswitch.harness.cell.records import ProbeResult

#: Remedies that need no evidence; hardware and kernel features have no entry.
REMEDIES = {
    "root": "run as root: sudo",
    "pidns": "run as root (sudo), outside of containers that forbid namespaces",
    "mountns": "run as root (sudo), outside of containers that forbid namespaces",
    "container": "run it in a container: worldswitch run --engine docker",
    "pid1": "run it in a container without init: worldswitch run --engine docker",
    "ptrace_denied": "run it where ptrace is denied: worldswitch run --profile no-ptrace",
    "smp": "add a second CPU to the machine, or to the affinity of this process",
}


def of(name: str, found: ProbeResult) -> str:
    """Return the remedy for this result of the probe `name`; empty if there is none."""
    return found.remedy or ("" if found.state == "yes" else REMEDIES.get(name, ""))
