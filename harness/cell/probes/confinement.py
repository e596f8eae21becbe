"""The restrictions on ptrace in this process, which identify the cause of an EPERM.

A seccomp filter cannot hide: the kernel answers a ptrace request for a pid that cannot exist with ESRCH before any
permission check, so any other answer comes from a filter.
"""

from __future__ import annotations

import errno
import os
from dataclasses import replace

import msgspec

from worldswitch.harness.cell.supervisor import supervise
from worldswitch.harness.linux import processes, syscalls
from worldswitch.harness.ptrace_denial import Confinement, current

NO_SUCH_PID = 0x7FFF_FFFF  #: above PID_MAX_LIMIT (include/linux/threads.h)

#: The requests that start tracing another process, and one that follows; PTRACE_TRACEME has no target.
REQUESTS = {"PTRACE_SEIZE": syscalls.PTRACE_SEIZE, "PTRACE_ATTACH": 16, "PTRACE_GETREGS": syscalls.PTRACE_GETREGS}

SECONDS = 10.0


def look() -> Confinement:
    """Return the confinement of a child, such as a trial is; read in one, since a filter may kill the caller."""

    def body() -> bytes:
        return msgspec.json.encode(replace(current(), answers={name: answer(name) for name in REQUESTS}))

    if whole := supervise(body, SECONDS).payload:
        return msgspec.json.decode(whole, type=Confinement)
    return replace(current(), answers={name: _answer_in_a_child(name) for name in REQUESTS})


def answer(request: str) -> str:
    """Make a request for a pid that cannot exist; return the name of its errno, or ``0``."""
    try:
        syscalls.ptrace(REQUESTS[request], NO_SUCH_PID)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error.errno))
    return "0"


def _answer_in_a_child(request: str) -> str:
    ending = supervise(lambda: answer(request).encode(), SECONDS)
    if ending.payload is not None:
        return ending.payload.decode()
    killed = ending.status is not None and os.WIFSIGNALED(ending.status)
    return processes.how_ended(ending.status or 0) if killed else "no answer"
