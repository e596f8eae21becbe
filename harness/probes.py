"""What this environment can do, found out by doing it: each probe is a function that tries.

    yes      it works
    no       this machine or kernel has no such thing: a scenario that needs it is `unsupported`
    denied   it is there and something forbids it (EPERM, EACCES, a seccomp kill): `blocked`

A probe runs in a process of its own and never through a platform, so that no platform judges itself.
"""

from __future__ import annotations

import functools
import os
from errno import EACCES, EPERM
from signal import SIGSYS

import msgspec

from worldswitch.harness.abilities import Absent, Look, cgroups, cpu, memory, policy, ptrace, stub_calls
from worldswitch.harness.results import Finding
from worldswitch.harness.supervisor import Ending, supervise

#: Far more than any of them takes; what a hanging probe would show is that the ability is no use.
SECONDS = 10.0


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
def probe(name: str) -> Finding:
    """What the probe `name` finds here; KeyError if there is none of that name."""
    look = PROBES[name]
    return _finding(supervise(lambda: msgspec.json.encode(_try(look)), SECONDS))


def _try(look: Look) -> Finding:
    try:
        return Finding("yes", look())
    except Absent as finding:
        return Finding("no", str(finding))
    except OSError as error:
        return Finding("denied" if error.errno in (EPERM, EACCES) else "no", error.strerror or str(error))


def _finding(ending: Ending) -> Finding:
    if ending.late:
        return Finding("no", f"no answer within {SECONDS:g} s")
    if ending.payload is None:
        signo = os.WTERMSIG(ending.status) if ending.status is not None and os.WIFSIGNALED(ending.status) else 0
        said = f"killed by signal {signo}" if signo else f"ended without an answer: {ending.output[-200:]}"
        return Finding("denied" if signo == SIGSYS else "no", said)
    return msgspec.json.decode(ending.payload, type=Finding)
