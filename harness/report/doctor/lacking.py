"""The probes that scenarios need and that fail here, grouped by what would provide them."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Iterator

from worldswitch.harness.catalogue import scenarios as catalogue
from worldswitch.harness.cell.probes import table
from worldswitch.harness.cell.probes.needs import IMPLIED, required
from worldswitch.harness.report.doctor.findings import Lack, Remedy

#: What root may do, unless a policy forbids it.
PRIVILEGED = ("pidns", "mountns", "userns", "ns_last_pid", "memcg", "cpuset", "freezer")
OUTSIDE = "run as root, outside of containers that forbid namespaces and control groups: sudo worldswitch run"

#: How to make other probes succeed; hardware and kernel features have no entry.
REMEDIES = {
    "stub_calls": "allow mmap, munmap and clone of threads: in a container, a seccomp filter that allows them",
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


def groups() -> tuple[Remedy, ...]:
    """Return what is missing by remedy, those without one last."""
    found = list(_lacking())
    by_remedy: dict[str, list[Lack]] = {}
    for lack in found:
        by_remedy.setdefault(_remedy(lack), []).append(lack)
    grouped = (Remedy(do, tuple(lacks)) for do, lacks in by_remedy.items())
    return tuple(sorted(grouped, key=lambda remedy: not remedy.do))


def _remedy(lack: Lack) -> str:
    """The remedy for one; root helps only where a policy forbids it, not where the kernel lacks it."""
    if lack.probe == "userns" and os.strerror(errno.ENOSPC) in lack.said:
        return "allow more user namespaces: sysctl user.max_user_namespaces=10000"
    if lack.probe in PRIVILEGED:
        return OUTSIDE if lack.state == "denied" else ""
    return REMEDIES.get(lack.probe, "")


def _lacking() -> Iterator[Lack]:
    scenarios = catalogue.scenarios()
    needs = [required(scenario.needs) for scenario in scenarios]
    for need in dict.fromkeys(itertools.chain(*needs)):
        if (found := table.probe(need)).state != "yes":
            ids = dict.fromkeys(scenario.ids[0] for scenario in scenarios if need in scenario.needs)
            yield Lack(need, found.state, found.detail, () if need in IMPLIED else tuple(ids))
