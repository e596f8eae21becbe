"""The probes of the ptrace requests that platforms make.

Where filters are in force, each request is first made for a process that cannot exist: the kernel returns ESRCH before
it checks anything, so any other answer is a filter's.  Then each is made on a child.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import itertools
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from worldswitch.harness import ptrace_denial
from worldswitch.harness.cell.probes import Absent, Denied, Look, steps
from worldswitch.harness.cell.probes.steps import Failure, Step
from worldswitch.harness.linux import ptrace, syscalls
from worldswitch.harness.ptrace_denial import Confinement, Mechanism
from worldswitch.harness.ptrace_denial.confinement import tracer_of

RAX = 80  #: its offset in user_regs_struct, arch/x86/include/asm/user_64.h
ONE_SIGINFO = 1 << 32  #: struct ptrace_peeksiginfo_args: a 64-bit offset, 32-bit flags, a 32-bit count


@dataclass(frozen=True, slots=True)
class Request:
    """A ptrace request: its number, and the arguments that a filter may look at."""

    number: int
    address: int = 0
    data: int = 0
    optional: bool = False  #: platforms do without it on a kernel that lacks it


#: Every request that the reference makes, by its name, in the order in which they are made on a child.
REQUESTS = {
    "PTRACE_SEIZE": Request(syscalls.PTRACE_SEIZE, 0, ptrace.OPTIONS),
    "PTRACE_INTERRUPT": Request(syscalls.PTRACE_INTERRUPT),
    "PTRACE_GETREGS": Request(syscalls.PTRACE_GETREGS),
    "PTRACE_SETREGS": Request(syscalls.PTRACE_SETREGS),
    "PTRACE_POKEUSR": Request(syscalls.PTRACE_POKEUSR, RAX),
    "PTRACE_GETREGSET": Request(syscalls.PTRACE_GETREGSET, syscalls.NT_X86_XSTATE),
    "PTRACE_SETREGSET": Request(syscalls.PTRACE_SETREGSET, syscalls.NT_X86_XSTATE),
    "PTRACE_GETSIGINFO": Request(syscalls.PTRACE_GETSIGINFO),
    "PTRACE_PEEKSIGINFO": Request(syscalls.PTRACE_PEEKSIGINFO, optional=True),
    "PTRACE_SETSIGMASK": Request(syscalls.PTRACE_SETSIGMASK, 8),
    "PTRACE_GET_RSEQ_CONFIGURATION": Request(syscalls.PTRACE_GET_RSEQ_CONFIGURATION, 32, optional=True),
    "PTRACE_SYSCALL": Request(syscalls.PTRACE_SYSCALL),
    "PTRACE_GET_SYSCALL_INFO": Request(syscalls.PTRACE_GET_SYSCALL_INFO, 96, optional=True),
    "PTRACE_SYSEMU": Request(syscalls.PTRACE_SYSEMU),
    "PTRACE_SYSEMU_SINGLESTEP": Request(syscalls.PTRACE_SYSEMU_SINGLESTEP),
    "PTRACE_CONT": Request(syscalls.PTRACE_CONT),
    "PTRACE_DETACH": Request(syscalls.PTRACE_DETACH),
}

#: All requests whose answers are recorded: those of other tracers and of scenarios too.
ASKED = {
    **REQUESTS,
    "PTRACE_ATTACH": Request(syscalls.PTRACE_ATTACH),
    "PTRACE_SET_SYSCALL_INFO": Request(syscalls.PTRACE_SET_SYSCALL_INFO, 96),
}


def seize() -> str:
    """Trace a child, which the kernel ends with its tracer."""
    _try(("PTRACE_SEIZE",), _seize)
    return "PTRACE_SEIZE of a child, with PTRACE_O_EXITKILL"


def all_requests() -> str:
    """Make every request that platforms make."""
    _try(tuple(REQUESTS), _made)
    return f"{len(REQUESTS)} requests on a child"


def judging(look: Look, *names: str) -> Look:
    """The probe `look`, whose failure is a denial if a filter answers one of these requests."""

    def judged() -> str:
        try:
            return look()
        except OSError:
            if ptrace_denial.current().seccomp != 0 and (failed := steps.first_failure(lambda: _asked(names))):
                raise _judged(failed, ptrace_denial.current()) from None
            raise

    return judged


def answers() -> dict[str, str]:
    """Return the answer to each request for a pid that cannot exist."""
    if steps.first_failure(lambda: _asked(ASKED)) is None:
        return dict.fromkeys(ASKED, "ESRCH")
    return {name: answer(name) for name in ASKED}


def answer(name: str) -> str:
    """Make a request for a pid that cannot exist; return the name of its errno, ``0``, or how it ended the caller."""
    failed = steps.first_failure(lambda: _asked((name,)))
    return failed.answer if failed else "ESRCH"


def errors() -> dict[str, str]:
    """Return the answer to the first request that fails on a child, by its name; empty if none does."""
    failed = steps.first_failure(_made)
    return {failed.step: failed.answer} if failed else {}


def child_tracer() -> int | None:
    """Return the pid of the tracer of a new child, 0 if it has none, None if that is not visible."""
    try:
        with ptrace.child() as pid:
            return tracer_of(pid)
    except OSError:
        return None


def _try(names: tuple[str, ...], made: Callable[[], Iterable[Step]]) -> None:
    known = ptrace_denial.current()
    asked = names if known.seccomp != 0 else ()  # without filters, what the kernel says of a child counts
    failed = steps.first_failure(lambda: itertools.chain(_asked(asked), made()))
    if failed is not None:
        raise _judged(failed, known)


def _judged(failed: Failure, known: Confinement) -> Absent | Denied:
    """The exception for a failed request, with the mechanism that the evidence shows."""
    name = failed.step
    known = replace(known, answers={name: answer(name)}, errors={name: failed.answer}, child_tracer=child_tracer())
    one = ptrace_denial.cause(known, name)
    if one is None:
        return (Denied if failed.denied else Absent)(str(failed))
    by_filter = one.mechanism is Mechanism.SECCOMP and one.denies
    kind = Denied if failed.denied or by_filter else Absent
    return kind(f"{failed}: {one.told}", one.remedy)


def _asked(names: Iterable[str]) -> Iterator[Step]:
    for name in names:
        yield name, functools.partial(_ask, ASKED[name])


def _ask(request: Request) -> None:
    try:
        syscalls.ptrace(request.number, ptrace.NO_SUCH_PID, request.address, request.data)
    except ProcessLookupError:
        return
    raise OSError(ptrace.FAKED, "ptrace of a process that cannot exist succeeds")


def _seize() -> Iterator[Step]:
    with ptrace.child() as pid:
        yield "PTRACE_SEIZE", _Child(pid).seize


def _made() -> Iterator[Step]:
    with ptrace.child() as pid:
        child = _Child(pid)
        yield "PTRACE_SEIZE", child.seize
        yield "PTRACE_INTERRUPT", child.interrupt
        yield from child.reads_and_writes()
        yield "PTRACE_SYSCALL", lambda: ptrace.run_to_syscall(pid, syscalls.PTRACE_SYSCALL)
        yield child.plain("PTRACE_GET_SYSCALL_INFO")
        yield "PTRACE_SYSEMU", lambda: ptrace.run_to_syscall(pid, syscalls.PTRACE_SYSEMU)
        yield "PTRACE_SYSEMU_SINGLESTEP", lambda: ptrace.resume(pid, syscalls.PTRACE_SYSEMU_SINGLESTEP)
        yield child.plain("PTRACE_CONT")
        yield "PTRACE_INTERRUPT", child.interrupt
        yield child.plain("PTRACE_DETACH")


class _Child:
    """The requests on one child."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._registers = ctypes.create_string_buffer(512)
        self._buffer = ctypes.create_string_buffer(1 << 16)
        self._vector = syscalls.Iovec(ctypes.addressof(self._buffer), len(self._buffer))
        self._query = (ctypes.c_uint64 * 2)(0, ONE_SIGINFO)

    def seize(self) -> None:
        ptrace.seize(self._pid)

    def interrupt(self) -> None:
        ptrace.interrupt(self._pid)

    def plain(self, name: str) -> Step:
        """A request whose data, if any, goes to the buffer."""
        data = ctypes.addressof(self._buffer) if name.startswith("PTRACE_GET") else 0
        return name, lambda: self._make(name, data)

    def reads_and_writes(self) -> Iterator[Step]:
        """The requests on a stopped tracee: what is written was read before."""
        registers, vector = ctypes.addressof(self._registers), ctypes.addressof(self._vector)
        query, buffer = ctypes.addressof(self._query), ctypes.addressof(self._buffer)
        yield "PTRACE_GETREGS", lambda: self._make("PTRACE_GETREGS", registers)
        yield "PTRACE_SETREGS", lambda: self._make("PTRACE_SETREGS", registers)
        (rax,) = struct.unpack_from("=Q", self._registers, RAX)
        yield "PTRACE_POKEUSR", lambda: self._make("PTRACE_POKEUSR", rax)
        yield "PTRACE_GETREGSET", lambda: self._make("PTRACE_GETREGSET", vector)
        yield "PTRACE_SETREGSET", lambda: self._make("PTRACE_SETREGSET", vector)
        yield self.plain("PTRACE_GETSIGINFO")
        yield "PTRACE_PEEKSIGINFO", lambda: self._make("PTRACE_PEEKSIGINFO", buffer, query)
        yield "PTRACE_SETSIGMASK", lambda: self._make("PTRACE_SETSIGMASK", buffer)
        yield self.plain("PTRACE_GET_RSEQ_CONFIGURATION")

    def _make(self, name: str, data: int, address: int | None = None) -> None:
        request = REQUESTS[name]
        try:
            syscalls.ptrace(request.number, self._pid, request.address if address is None else address, data)
        except OSError as error:
            if not (request.optional and error.errno in (errno.EIO, errno.EINVAL, errno.ENOSYS)):
                raise
