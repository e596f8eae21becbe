"""Obstacles to a platform: seccomp filters, lost privileges, a process that may not be dumped.

None of them can be undone, so use them in a child process (`worldswitch.scenarios.stage.children`).
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from worldswitch.scenarios.guests import Number

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
libc.ptrace.restype = ctypes.c_long

PTRACE_SYSEMU, PTRACE_SYSEMU_SINGLESTEP, PTRACE_SEIZE = 31, 32, 0x4206  # <asm/ptrace-abi.h>, <linux/ptrace.h>
WALL = 0x4000_0000  # __WALL
PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 4, 22, 38  # <linux/prctl.h>
CAPABILITY_VERSION_3 = 0x2008_0522  # <linux/capability.h>
CLONE_NEWUSER = 0x1000_0000  # <linux/sched.h>
NOBODY = 65534

# <linux/seccomp.h>; of several filters' answers the one that comes first here counts.
KILL_PROCESS, KILL_THREAD, TRAP, ERRNO = 0x8000_0000, 0x0000_0000, 0x0003_0000, 0x0005_0000
USER_NOTIF, TRACE, LOG, ALLOW = 0x7FC0_0000, 0x7FF0_0000, 0x7FFC_0000, 0x7FFF_0000
SECCOMP_MODE_FILTER = 2  # of prctl
SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC = 1, 1  # of seccomp
LOAD_WORD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06  # <linux/bpf_common.h>, combined
FIRST_ARGUMENT = 16  # offset in struct seccomp_data, whose first field is the number

#: The two numbers without a function in the C library: arch/x86/entry/syscalls/syscall_64.tbl and its sibling.
SECCOMP, CLONE3 = {"x86_64": (317, 435), "aarch64": (277, 435)}[os.uname().machine]

#: System calls that create processes and threads.
FORKS = (Number.CLONE, CLONE3, Number.FORK, Number.VFORK)


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


@dataclass(frozen=True, slots=True)
class FilterRule:
    """A filter's answer to one system call, or only to calls with a certain argument."""

    number: int
    action: int
    argument: tuple[int, int] | None = None  #: its index, from 0, and its value

    def instructions(self) -> Iterator[tuple[int, int, int, int]]:
        """The rule as BPF instructions; execution continues behind them if the rule does not apply."""
        tests = [(0, self.number)]
        if self.argument is not None:
            index, value = self.argument
            low = FIRST_ARGUMENT + 8 * index
            tests += [(low, value & 0xFFFF_FFFF), (low + 4, value >> 32)]
        for left, (offset, value) in zip(reversed(range(len(tests))), tests, strict=True):
            yield (LOAD_WORD, 0, 0, offset)
            yield (JUMP_EQUAL, 0, 2 * left + 1, value)
        yield (RETURN, 0, 0, self.action)


def filter_this_thread(*rules: FilterRule) -> None:
    """Install `rules` for this thread and the threads and processes it creates; all else is allowed."""
    program = _program(rules)
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS")
    check(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0), "PR_SET_SECCOMP")


def filter_all_threads(*rules: FilterRule) -> None:
    """Install `rules` for all threads of this process at once."""
    program = _program(rules)
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS")
    request = (SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, ctypes.byref(program))
    check(libc.syscall(SECCOMP, *request), "SECCOMP_FILTER_FLAG_TSYNC")


def _program(rules: tuple[FilterRule, ...]) -> _Program:
    instructions = [*(one for rule in rules for one in rule.instructions()), (RETURN, 0, 0, ALLOW)]
    return _Program(len(instructions), b"".join(struct.pack("=HBBI", *one) for one in instructions))


def deny_ptrace(number: int) -> None:
    """Make every ptrace call of this thread and its descendants fail with an errno."""
    filter_this_thread(FilterRule(Number.PTRACE, ERRNO | number))


def deny_sysemu(number: int) -> None:
    """Make PTRACE_SYSEMU and PTRACE_SYSEMU_SINGLESTEP fail, as on a kernel that lacks them."""
    requests = (PTRACE_SYSEMU, PTRACE_SYSEMU_SINGLESTEP)
    filter_this_thread(*(FilterRule(Number.PTRACE, ERRNO | number, (0, request)) for request in requests))


def errno_of_ptrace() -> int:
    """The errno with which the kernel refuses to trace a child, or 0."""
    pid = os.fork()
    if pid == 0:
        signal.pause()
    try:
        return 0 if libc.ptrace(PTRACE_SEIZE, pid, None, None) == 0 else ctypes.get_errno()
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, WALL)


def drop_capabilities() -> None:
    """Drop every capability of this thread and its descendants; the user stays the same."""
    header = struct.pack("=Ii", CAPABILITY_VERSION_3, 0)
    check(libc.capset(header, bytes(24)), "capset")


def become_nobody() -> None:
    """Become an unprivileged user in a dumpable process, as if that user had started it."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    be_dumpable(True)


def be_dumpable(dumpable: bool) -> None:
    """Allow or forbid other processes of the user to inspect and trace this one (PR_SET_DUMPABLE)."""
    check(libc.prctl(PR_SET_DUMPABLE, int(dumpable), 0, 0, 0), "PR_SET_DUMPABLE")


def enter_user_namespace() -> None:
    """Enter a new user namespace, with all capabilities inside and none outside."""
    check(libc.unshare(CLONE_NEWUSER), "unshare(CLONE_NEWUSER)")


def cover(folder: Path) -> None:
    """Mount an empty, writable tmpfs on a folder, in this mount namespace."""
    check(libc.mount(b"none", bytes(folder), b"tmpfs", 0, None), f"a tmpfs on {folder}")


def check(result: int, operation: str) -> None:
    """Raise OSError if a C function failed."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{operation}: {os.strerror(number)}")
