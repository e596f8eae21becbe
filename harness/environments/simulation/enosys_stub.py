"""The instructions that runc puts before a filter: ENOSYS for calls newer than every call that the filter names.

runc adds them if the default action denies.  crun does not.  See libcontainer/seccomp/patchbpf in runc.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Any

from worldswitch.harness.environments.simulation.answer import ERRNO
from worldswitch.harness.environments.simulation.bpf import BITS_SET, EQUAL, GREATER, JUMP, LOAD, RETURN, Instruction
from worldswitch.harness.environments.simulation.call_numbers import AUDIT, X32_BIT, audit, named

ALLOWING = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE")
ENOSYS = ERRNO | errno.ENOSYS
X32 = "SCMP_ARCH_X32"


def newest(content: Mapping[str, Any]) -> dict[str, int]:
    """Return the highest number that the filter names, for each of its architectures; empty if runc adds no stub."""
    if content["defaultAction"] in ALLOWING:
        return {}
    names = {name for rule in content.get("syscalls") or () for name in rule.get("names") or ()}
    found = {
        one: max((named(name, one) or 0 for name in names), default=0) for one in content.get("architectures") or ()
    }
    return {architecture: highest for architecture, highest in found.items() if highest}


def instructions(newest: Mapping[str, int]) -> tuple[Instruction, ...]:
    """Return the stub for the highest numbers; it falls through to the filter."""
    made: list[Instruction] = []
    for architecture, highest in newest.items():
        made += _section(architecture, highest)
    return tuple(made)


def _section(architecture: str, highest: int) -> list[Instruction]:
    """Answer ENOSYS if the call is of this architecture and its number is higher."""
    tail = [Instruction(GREATER, 0, 1, highest), Instruction(RETURN, 0, 0, ENOSYS)]
    if AUDIT.get(architecture) == AUDIT[X32]:
        x32 = architecture == X32
        tail = [Instruction(BITS_SET, 0 if x32 else len(tail), len(tail) if x32 else 0, X32_BIT), *tail]
    tail = [Instruction(LOAD, 0, 0, 0), *tail]
    return [
        Instruction(LOAD, 0, 0, 4),
        Instruction(EQUAL, 1, 0, audit(architecture)),
        Instruction(JUMP, 0, 0, len(tail)),
        *tail,
    ]
