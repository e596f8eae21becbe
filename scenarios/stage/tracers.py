"""Tracers of the harness itself: one resumes tracees until they end, one counts a thread's system calls."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable, Iterator

from worldswitch.scenarios.stage.confinement import check, libc

# <linux/ptrace.h>
PTRACE_CONT, PTRACE_DETACH, PTRACE_SYSCALL = 7, 17, 24
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_GET_SYSCALL_INFO = 0x4206, 0x4207, 0x420E
PTRACE_O_TRACESYSGOOD, PTRACE_O_TRACEFORK, PTRACE_O_TRACEVFORK, PTRACE_O_TRACECLONE = 0x1, 0x2, 0x4, 0x8
PTRACE_SYSCALL_INFO_ENTRY = 1
ENTRY_NUMBER = 24  # offset of the number in struct ptrace_syscall_info

#: What ``strace -f`` follows.
CLONES = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE

WALL = 0x4000_0000  # __WALL, <linux/wait.h>


def seize(tid: int, options: int = CLONES) -> None:
    """Trace a thread and, by default, everything it clones."""
    check(libc.ptrace(PTRACE_SEIZE, tid, None, options), "PTRACE_SEIZE")


def follow(pid: int) -> None:
    """Resume every tracee after each stop, until process `pid` has ended."""
    while True:
        stopped, status = os.waitpid(-1, WALL)
        if os.WIFSTOPPED(status):
            _resume(PTRACE_CONT, stopped, status)
        elif stopped == pid:
            return


def calls_between(tid: int, mark: int, counting: Callable[[], None]) -> int:
    """The number of system calls that thread `tid` makes between its next two calls of number `mark`.

    `counting` is called when the thread is stopped for the first time: no call is missed from then on.
    """
    seize(tid, PTRACE_O_TRACESYSGOOD)
    check(libc.ptrace(PTRACE_INTERRUPT, tid, None, None), "PTRACE_INTERRUPT")
    _, status = os.waitpid(tid, WALL)
    _resume(PTRACE_SYSCALL, tid, status)
    counting()
    numbers = _calls(tid)
    while next(numbers) != mark:
        pass
    count = next(count for count, number in enumerate(numbers) if number == mark)
    libc.ptrace(PTRACE_DETACH, tid, None, None)
    return count


def _calls(tid: int) -> Iterator[int]:
    """The system call numbers of a seized thread, which is stopped at the entry of the last one."""
    while True:
        _, status = os.waitpid(tid, WALL)
        assert os.WIFSTOPPED(status), f"the thread whose calls are counted ended with status {status:#x}"
        info = ctypes.create_string_buffer(128)
        libc.ptrace(PTRACE_GET_SYSCALL_INFO, tid, len(info), ctypes.addressof(info))
        if info.raw[0] == PTRACE_SYSCALL_INFO_ENTRY:
            yield struct.unpack_from("=Q", info.raw, ENTRY_NUMBER)[0]
        _resume(PTRACE_SYSCALL, tid, status)


def _resume(request: int, tid: int, status: int) -> None:
    """Resume a thread by `request` after a stop, and deliver the signal of a signal stop."""
    signo, is_event = os.WSTOPSIG(status), status >> 16 != 0
    libc.ptrace(request, tid, None, None if is_event or signo & 0x80 else signo)
