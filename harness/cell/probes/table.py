"""What this environment can do, found out by doing it: each probe is a function that tries.

    yes      it works
    no       this machine or kernel has no such thing: a scenario that needs it is `unsupported`
    denied   it is there and something forbids it (EPERM, EACCES, a seccomp kill): `blocked`

A probe runs in a process of its own and never through a platform, so that no platform judges itself.
"""

from __future__ import annotations

import functools

from worldswitch.harness.cell.probes import Look, cgroups, cpu, memory, policy, ptrace, stub_calls, trying
from worldswitch.harness.cell.records import ProbeResult

#: Every probe, by the name a scenario's ``needs`` calls it; `ptrace` is the first, since most need it.
PROBES: dict[str, Look] = {
    **ptrace.PROBES,
    **stub_calls.PROBES,
    **cpu.PROBES,
    **memory.PROBES,
    **policy.PROBES,
    **cgroups.PROBES,
}


@functools.cache
def probe(name: str) -> ProbeResult:
    """What the probe `name` finds here; KeyError if there is none of that name."""
    return trying.probe(PROBES[name])
