"""What stands in a platform's way, put there on purpose: seccomp filters, lost privileges, a process nobody may dump.

None of it can be taken back, so it is for a process of its own (`worldswitch.scenarios.stage.children`).
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
FIRST_ARGUMENT = 16  # offset in struct seccomp_data, which begins with the number

#: The two numbers the C library has no function for: arch/x86/entry/syscalls/syscall_64.tbl and its sibling.
SECCOMP, CLONE3 = {"x86_64": (317, 435), "aarch64": (277, 435)}[os.uname().machine]

#: How processes and threads are made.
FORKS = (Number.CLONE, CLONE3, Number.FORK, Number.VFORK)


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


@dataclass(frozen=True, slots=True)
class Rule:
    """What a filter answers to a system call: to every one of that number, or to those with one argument."""

    number: int
    action: int
    argument: tuple[int, int] | None = None  #: which, counted from 0, and its value

    def instructions(self) -> Iterator[tuple[int, int, int, int]]:
        """The rule in BPF; where it does not apply, it goes on behind its end."""
        tests = [(0, self.number)]
        if self.argument is not None:
            index, value = self.argument
            low = FIRST_ARGUMENT + 8 * index
            tests += [(low, value & 0xFFFF_FFFF), (low + 4, value >> 32)]
        for left, (offset, value) in zip(reversed(range(len(tests))), tests, strict=True):
            yield (LOAD_WORD, 0, 0, offset)
            yield (JUMP_EQUAL, 0, 2 * left + 1, value)
        yield (RETURN, 0, 0, self.action)


def filter_this_thread(*rules: Rule) -> None:
    """Have the kernel answer by `rules` whatever this thread, and all it will make, ask; all else is allowed."""
    program = _program(rules)
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS")
    check(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0), "PR_SET_SECCOMP")


def filter_all_threads(*rules: Rule) -> None:
    """The same for all threads of this process at once."""
    program = _program(rules)
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS")
    request = (SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, ctypes.byref(program))
    check(libc.syscall(SECCOMP, *request), "SECCOMP_FILTER_FLAG_TSYNC")


def _program(rules: tuple[Rule, ...]) -> _Program:
    instructions = [*(one for rule in rules for one in rule.instructions()), (RETURN, 0, 0, ALLOW)]
    return _Program(len(instructions), b"".join(struct.pack("=HBBI", *one) for one in instructions))


def deny_ptrace(number: int) -> None:
    """Have every ptrace system call of this thread and of all it will make answered with an errno."""
    filter_this_thread(Rule(Number.PTRACE, ERRNO | number))


def deny_sysemu(number: int) -> None:
    """The same for PTRACE_SYSEMU and its sibling alone, as a kernel that has neither would answer."""
    requests = (PTRACE_SYSEMU, PTRACE_SYSEMU_SINGLESTEP)
    filter_this_thread(*(Rule(Number.PTRACE, ERRNO | number, (0, request)) for request in requests))


def errno_of_ptrace() -> int:
    """What the kernel answers here to whoever would trace a child of his."""
    pid = os.fork()
    if pid == 0:
        signal.pause()
    try:
        return 0 if libc.ptrace(PTRACE_SEIZE, pid, None, None) == 0 else ctypes.get_errno()
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, WALL)


def drop_capabilities() -> None:
    """Give up every capability, of this thread and of all it will make; the user stays."""
    header = struct.pack("=Ii", CAPABILITY_VERSION_3, 0)
    check(libc.capset(header, bytes(24)), "capset")


def become_nobody() -> None:
    """Become a user without privileges, and a process that can be dumped, as one that such a user starts is."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    be_dumpable(True)


def be_dumpable(dumpable: bool) -> None:
    """Let other processes of the user look into this one, and trace it, or not (PR_SET_DUMPABLE)."""
    check(libc.prctl(PR_SET_DUMPABLE, int(dumpable), 0, 0, 0), "PR_SET_DUMPABLE")


def enter_user_namespace() -> None:
    """Go to a user namespace of its own, with all its capabilities and none outside."""
    check(libc.unshare(CLONE_NEWUSER), "unshare(CLONE_NEWUSER)")


def cover(folder: Path) -> None:
    """Have an empty folder to write to in a folder's place, in this mount namespace."""
    check(libc.mount(b"none", bytes(folder), b"tmpfs", 0, None), f"a tmpfs on {folder}")


def check(result: int, operation: str) -> None:
    """Raise the OSError that a C function's result stands for."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{operation}: {os.strerror(number)}")
