"""The restrictions on ptrace in this process, which identify the cause of a denial."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from worldswitch.harness.cell.probes import requests
from worldswitch.harness.cell.supervisor import supervise
from worldswitch.harness.ptrace_denial import Confinement, current
from worldswitch.harness.ptrace_denial.in_a_child import completed

SECONDS = 10.0


def look() -> Confinement:
    """Return the confinement of a child, such as a trial is, and what ptrace answers there."""
    known = completed(current())
    ending = supervise(lambda: msgspec.json.encode(_observed(known)), SECONDS)
    return msgspec.json.decode(ending.payload, type=Confinement) if ending.payload else known


def _observed(known: Confinement) -> Confinement:
    """Add what requests show; they are made in children, since a filter may kill for one."""
    return replace(
        known,
        answers=requests.answers(),
        errors=requests.errors(),
        child_tracer=requests.child_tracer(),
    )
