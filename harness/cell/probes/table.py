"""All probes of the environment's abilities.

    yes      the ability works
    no       the machine or kernel lacks it: a scenario that needs it is `unsupported`
    denied   a policy forbids it (EPERM, EACCES, a filter's answer): a scenario that needs it is `blocked`

A probe runs in a process of its own and never through a platform, so that no platform judges itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from worldswitch.harness.cell.probes import (
    Look,
    cgroups,
    cpu,
    memory,
    platform_calls,
    policy,
    ptrace,
    stub_calls,
    trying,
    user_namespaces,
)
from worldswitch.harness.cell.records import ProbeResult

#: Every probe, by its name in a scenario's ``needs``; `ptrace` is first, since most need it.
PROBES: dict[str, Look] = {
    **ptrace.PROBES,
    **stub_calls.PROBES,
    **platform_calls.PROBES,
    **cpu.PROBES,
    **memory.PROBES,
    **policy.PROBES,
    **user_namespaces.PROBES,
    **cgroups.PROBES,
}


_found: dict[str, ProbeResult] = {}


def probe(name: str) -> ProbeResult:
    """Return the result of the probe `name`, tried once; raises KeyError if there is no such probe."""
    if name not in _found:
        _found[name] = trying.probe(PROBES[name])
    return _found[name]


def found() -> dict[str, ProbeResult]:
    """Return the results so far."""
    return dict(_found)


def learn(results: Mapping[str, ProbeResult]) -> None:
    """Add results of another process, so that a process with a platform in it needs no probe of its own."""
    _found.update(results)


def forget() -> None:
    """Forget all results."""
    _found.clear()
