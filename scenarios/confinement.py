"""What stands in a platform's way, put there on purpose: a filter that denies ptrace, a tracer over the harness."""

from __future__ import annotations

import ctypes
import os
import struct

from worldswitch.scenarios.guests import Number

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
libc.ptrace.restype = ctypes.c_long

PTRACE_TRACEME, PTRACE_CONT, PTRACE_SEIZE = 0, 7, 0x4206  # <linux/ptrace.h>
PTRACE_O_TRACEFORK, PTRACE_O_TRACEVFORK, PTRACE_O_TRACECLONE = 0x2, 0x4, 0x8
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38  # <linux/prctl.h>
SECCOMP_MODE_FILTER = 2  # <linux/seccomp.h>
SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO = 0x7FFF_0000, 0x0005_0000
BPF_LD_W_ABS, BPF_JMP_JEQ_K, BPF_RET_K = 0x20, 0x15, 0x06  # <linux/bpf_common.h>, combined
WALL = 0x4000_0000  # __WALL, <linux/wait.h>


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def deny_ptrace(number: int) -> None:
    """Have every ptrace system call of this thread and of all it will make answered with an errno."""
    instructions = (
        (BPF_LD_W_ABS, 0, 0, 0),  # struct seccomp_data begins with the number
        (BPF_JMP_JEQ_K, 0, 1, int(Number.PTRACE)),
        (BPF_RET_K, 0, 0, SECCOMP_RET_ERRNO | number),
        (BPF_RET_K, 0, 0, SECCOMP_RET_ALLOW),
    )
    program = _Program(len(instructions), b"".join(struct.pack("=HBBI", *one) for one in instructions))
    _check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS")
    _check(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0), "PR_SET_SECCOMP")


def errno_of_ptrace() -> int:
    """What the kernel answers to ptrace here; a child asks, in case it is granted."""
    pid = os.fork()
    if pid == 0:
        libc.ptrace(PTRACE_TRACEME, 0, None, None)
        os._exit(ctypes.get_errno())
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def seize(pid: int) -> None:
    """Trace a process and all that it will clone."""
    options = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE
    _check(libc.ptrace(PTRACE_SEIZE, pid, None, options), "PTRACE_SEIZE")


def follow(pid: int) -> None:
    """Let whatever is traced run on after each of its stops, until process `pid` has ended."""
    while True:
        stopped, status = os.waitpid(-1, WALL)
        if os.WIFSTOPPED(status):
            is_event = status >> 16 != 0
            libc.ptrace(PTRACE_CONT, stopped, None, None if is_event else os.WSTOPSIG(status))
        elif stopped == pid:
            return


def _check(result: int, operation: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{operation}: {os.strerror(number)}")
