"""Tries system calls that platforms make, and finds what denies one.

Each has an invalid variant, which the kernel rejects before any policy sees it: another answer to that is a filter's.
"""

from __future__ import annotations

import errno
import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from worldswitch.harness import ptrace_denial
from worldswitch.harness.cell.probes import Absent, Denied, steps
from worldswitch.harness.cell.probes.steps import Failure
from worldswitch.harness.linux import syscalls
from worldswitch.harness.linux.ptrace import FAKED
from worldswitch.harness.ptrace_denial.in_a_child import refuses_executable_memory

#: Answers by which a filter poses as a kernel without the call, or as success; every kernel has the calls.
LIKE_A_KERNEL = (errno.EINVAL, errno.ENOSYS, FAKED)


@dataclass(frozen=True, slots=True)
class Call:
    """A system call that platforms make."""

    name: str
    make: Callable[[], object]
    number: int
    invalid: tuple[int, ...]  #: the arguments of a variant that the kernel rejects, empty if there is none
    rejection: int = errno.EINVAL  #: its answer to that
    makes_code: bool = False  #: it makes written memory executable


def make_all(calls: Iterable[Call]) -> None:
    """Make the calls in order, in a child; raises `Denied` or `Absent` for the first that fails."""
    by_name = {call.name: call for call in calls}
    mode = ptrace_denial.current().seccomp
    asked = [(call.name, functools.partial(_reject, call)) for call in by_name.values() if call.invalid and mode != 0]
    failed = steps.first_failure(lambda: [*asked, *((call.name, call.make) for call in by_name.values())])
    if failed is not None:
        raise _judged(failed, by_name[failed.step])


def _reject(call: Call) -> None:
    """Check that the invalid variant fails: a filter may fake success."""
    try:
        syscalls.syscall(call.number, *call.invalid)
    except OSError:
        return
    raise OSError(FAKED, f"{call.name} succeeds with invalid arguments")


def _judged(failed: Failure, call: Call) -> Absent | Denied:
    """The exception for a failed call, with the cause that the evidence shows."""
    mode = ptrace_denial.current().seccomp
    answer = _answer(call) if mode != 0 and call.invalid else ""
    rejection = errno.errorcode[call.rejection]
    if call.makes_code and failed.errno == errno.EACCES and refuses_executable_memory():
        said = f"{failed}: PR_SET_MDWE is in force (systemd MemoryDenyWriteExecute)"
        return Denied(said, "allow mmap and mprotect(PROT_EXEC) of anonymous memory: MemoryDenyWriteExecute=no")
    if mode == 2 and answer not in (rejection, ""):
        tried = f"with invalid arguments it returns {answer}, but the kernel returns {rejection}"
        return Denied(f"{failed}: seccomp: {tried}: a filter answers", f"use a profile that allows {call.name}")
    if not failed.denied and not (mode == 2 and failed.errno in LIKE_A_KERNEL):
        return Absent(str(failed))
    if mode == 2:
        remedy = f"if it is a filter, use a profile that allows {call.name} with any arguments"
        return Denied(f"{failed}: perhaps seccomp: filters are in force, and may look at the arguments", remedy)
    return Denied(f"{failed}: {_without_filters(call)}")


def _without_filters(call: Call) -> str:
    kind = "a security module (SELinux: execmem), or PaX" if call.makes_code else "a security module"
    return f"no filter is in force: perhaps {kind}"


def _answer(call: Call) -> str:
    """The answer to the invalid variant, made in a child since a filter may kill for it."""
    failed = steps.first_failure(lambda: [(call.name, lambda: syscalls.syscall(call.number, *call.invalid))])
    return failed.answer if failed else "0"
