"""Explains a ptrace request that the kernel refuses: the mechanism, by evidence, and the remedy."""

from __future__ import annotations

import errno
import os
from dataclasses import replace

from worldswitch.harness import ptrace_denial
from worldswitch.harness.contract import Unavailable
from worldswitch.harness.ptrace_denial import MechanismCheck, in_a_child
from worldswitch.harness.ptrace_denial.confinement import tracer_of
from worldswitch.reference._core import ffi, lib

NO_PROCESS = 0x7FFF_FFFF  # above PID_MAX_LIMIT, include/linux/threads.h

#: Names that begin as a request's does, and are none.
_NO_REQUESTS = ("PTRACE_O_", "PTRACE_EVENT_", "PTRACE_SYSCALL_INFO_")

#: The names of the requests that the platform makes, by their numbers.
REQUESTS: dict[int, str] = {
    getattr(lib, name): name for name in dir(lib) if name.startswith("PTRACE_") and not name.startswith(_NO_REQUESTS)
}


class RequestRefused(OSError):
    """The kernel refuses a request for a living tracee."""

    def __init__(self, error: int, number: int) -> None:
        self.request = REQUESTS.get(number, f"ptrace request {number:#x}")
        super().__init__(error, f"{self.request}: {os.strerror(error)}")


def refused(request: str, error: int, pid: int = 0) -> Unavailable:
    """The error for a kernel that refuses a request for our own child `pid`: the cause and the remedy."""
    said = f"ptrace: {request} of our own child: {errno.errorcode.get(error, error)} ({os.strerror(error)})"
    one = _cause(request, error, pid)
    if one is None:
        return Unavailable(f"{said}: nothing that can be seen from here denies it", "see the kernel log")
    return Unavailable(f"{said}: {one.told}", one.remedy)


def why_this_thread(error: int, tid: int) -> str:
    """The cause, in parentheses, why this thread may not trace what another thread of this process forked, or ""."""
    if error not in (errno.EPERM, errno.EACCES):
        return ""
    one = _cause("PTRACE_SEIZE", error, tid, own_thread=False)
    return f" ({one.told})" if one else ""


def _cause(request: str, error: int, pid: int, *, own_thread: bool = True) -> MechanismCheck | None:
    answer = -_answer_for_no_process(request)
    known = replace(
        ptrace_denial.current(),
        answers={request: errno.errorcode.get(answer, str(answer))},
        child_tracer=tracer_of(pid) if pid else None,
    )
    if not own_thread:
        known = in_a_child.completed(known)
    return ptrace_denial.cause(known, request, errno.errorcode.get(error, str(error)), own_thread=own_thread)


def _answer_for_no_process(request: str) -> int:
    """The result of a request for a process that cannot exist: -ESRCH, unless a filter answers instead of ptrace."""
    number = next(number for number, name in REQUESTS.items() if name == request)
    result: int = lib.tracee_request(number, NO_PROCESS, 0, ffi.NULL)
    return result
