"""One probe tried in a process of its own, and what its outcome means."""

from __future__ import annotations

import os
from dataclasses import dataclass
from errno import EACCES, EPERM
from signal import SIGSYS
from typing import Literal, TypeAlias

import msgspec

from worldswitch.harness.cell.probes import Absent, Look
from worldswitch.harness.cell.supervisor import Ending, supervise

State: TypeAlias = Literal["yes", "no", "denied"]

#: Far more than any of them takes; what a hanging probe would show is that the ability is no use.
SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Probe:
    """What one probe found, and what showed it."""

    name: str
    state: State
    detail: str


def probe(name: str, look: Look) -> Probe:
    """The finding of `look`, run in a child process within `SECONDS`."""
    return _finding(name, supervise(lambda: msgspec.json.encode(_attempt(look)), SECONDS))


def _attempt(look: Look) -> tuple[State, str]:
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
        signo = os.WTERMSIG(ending.status) if ending.status is not None and os.WIFSIGNALED(ending.status) else 0
        said = f"killed by signal {signo}" if signo else f"ended without an answer: {ending.output[-200:]}"
        return Probe(name, "denied" if signo == SIGSYS else "no", said)
    state, detail = msgspec.json.decode(ending.payload, type=tuple[State, str])
    return Probe(name, state, detail)
