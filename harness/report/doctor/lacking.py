"""The probes that scenarios need and that fail here, grouped by what would provide them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from worldswitch.harness.catalogue import scenarios as catalogue
from worldswitch.harness.cell.probes import table
from worldswitch.harness.cell.probes.needs import IMPLIED, required
from worldswitch.harness.report.doctor.findings import Lack, Remedy

#: How to make a probe succeed; hardware and kernel features have no entry.
REMEDIES = {
    "ptrace": "allow ptrace: `sysctl kernel.yama.ptrace_scope=1`; in a container, a seccomp filter that allows it",
    "stub_calls": "allow mmap, munmap and clone of threads: in a container, a seccomp filter that allows them",
    **dict.fromkeys(("root", "other_user"), "run as root: sudo"),
    **dict.fromkeys(
        ("pidns", "mountns", "ns_last_pid", "memcg", "cpuset", "freezer"),
        "run as root (sudo), outside of containers that forbid namespaces and control groups",
    ),
    "userns": "`sysctl user.max_user_namespaces=10000`",
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
    remedies = dict.fromkeys(REMEDIES.get(lack.probe, "") for lack in found)
    grouped = (Remedy(do, tuple(_provided(do, found))) for do in remedies)
    return tuple(sorted(grouped, key=lambda remedy: not remedy.do))


def _provided(do: str, lacking: Iterable[Lack]) -> Iterator[Lack]:
    return (lack for lack in lacking if REMEDIES.get(lack.probe, "") == do)


def _lacking() -> Iterator[Lack]:
    scenarios = catalogue.scenarios()
    needs = [required(scenario.needs) for scenario in scenarios]
    for need in dict.fromkeys(itertools.chain(*needs)):
        if (found := table.probe(need)).state != "yes":
            ids = dict.fromkeys(scenario.ids[0] for scenario in scenarios if need in scenario.needs)
            yield Lack(need, found.state, found.detail, () if need in IMPLIED else tuple(ids))
