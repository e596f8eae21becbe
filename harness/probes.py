"""What this environment can do, found out by doing it: each probe is a function that tries.

    yes      it works
    no       this machine or kernel has no such thing: a scenario that needs it is `unsupported`
    denied   it is there and something forbids it (EPERM, EACCES, a seccomp kill): `blocked`

A probe runs in a process of its own and never through a platform, so that no platform judges itself.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from errno import EACCES, EPERM
from signal import SIGSYS
from typing import Literal, TypeAlias

import msgspec

from worldswitch.harness import processes
from worldswitch.harness.abilities import Absent, Look, cgroups, cpu, memory, policy, ptrace, stub_calls
from worldswitch.harness.supervisor import Ending, supervise

State: TypeAlias = Literal["yes", "no", "denied"]

#: Far more than any of them takes; what a hanging probe would show is that the ability is no use.
SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Probe:
    """What one probe found, and what showed it."""

    name: str
    state: State
    detail: str


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
def probe(name: str) -> Probe:
    """What the probe `name` finds here; KeyError if there is none of that name."""
    look = PROBES[name]
    return _finding(name, supervise(lambda: msgspec.json.encode(_try(look)), SECONDS))


def all_probes() -> list[Probe]:
    """What every probe finds here."""
    return [probe(name) for name in PROBES]


def _try(look: Look) -> tuple[State, str]:
    try:
        return "yes", look()
    except Absent as finding:
        return "no", str(finding)
    except OSError as error:
        return ("denied" if error.errno in (EPERM, EACCES) else "no"), error.strerror or str(error)


def _finding(name: str, ending: Ending) -> Probe:
    if ending.late:
        return Probe(name, "no", f"no answer within {SECONDS:g} s")
    if ending.payload is None:
        status = ending.status or 0
        if not os.WIFSIGNALED(status):
            return Probe(name, "no", f"ended without an answer: {ending.output[-200:]}")
        return Probe(name, "denied" if os.WTERMSIG(status) == SIGSYS else "no", processes.how_ended(status))
    state, detail = msgspec.json.decode(ending.payload, type=tuple[State, str])
    return Probe(name, state, detail)
