"""Who could forbid ptrace to this process: what the kernel tells of each, for whoever must know which one it was.

A seccomp filter cannot hide: a ptrace request about a process that cannot be is ESRCH before the kernel asks about
permissions, so any other answer is a filter's.
"""

from __future__ import annotations

import errno
import os
from dataclasses import replace

import msgspec

from worldswitch.harness.cell.supervisor import supervise
from worldswitch.harness.linux import processes, syscalls
from worldswitch.harness.ptrace_denial import Confinement, here

NOBODY = 0x7FFF_FFFF  #: above PID_MAX_LIMIT (include/linux/threads.h)

#: The requests by which one comes to trace another, and one of those that follow; PTRACE_TRACEME is about no other.
REQUESTS = {"PTRACE_SEIZE": syscalls.PTRACE_SEIZE, "PTRACE_ATTACH": 16, "PTRACE_GETREGS": syscalls.PTRACE_GETREGS}

SECONDS = 10.0


def look() -> Confinement:
    """What restricts a child of this process, as trials are; asked in one, since a filter may kill for asking."""

    def ask() -> bytes:
        return msgspec.json.encode(replace(here(), answers={name: answer(name) for name in REQUESTS}))

    if whole := supervise(ask, SECONDS).payload:
        return msgspec.json.decode(whole, type=Confinement)
    return replace(here(), answers={name: _answer_in_a_child(name) for name in REQUESTS})


def answer(request: str) -> str:
    """How a request about nobody is answered, asked by this very process."""
    try:
        syscalls.ptrace(REQUESTS[request], NOBODY)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error.errno))
    return "0"


def _answer_in_a_child(request: str) -> str:
    ending = supervise(lambda: answer(request).encode(), SECONDS)
    if ending.payload is not None:
        return ending.payload.decode()
    killed = ending.status is not None and os.WIFSIGNALED(ending.status)
    return processes.how_ended(ending.status or 0) if killed else "no answer"
