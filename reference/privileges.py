"""What a stub would inherit from its maker and must not have, and the steps of the birth plan that give it up.

The maker is asked at each birth: another process may change it at any time.  A stub whose maker has none of this takes
no step, so that no filter or policy over it needs to allow these calls.  An attribute that cannot be asked for is not
taken for harmless.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
from pathlib import Path

from worldswitch.harness.contract import HostError
from worldswitch.reference._core import ffi, lib
from worldswitch.reference.birth_plan import Step

SCHED_DEADLINE = 6  # include/uapi/linux/sched.h
URGENT = (os.SCHED_FIFO, os.SCHED_RR, SCHED_DEADLINE)

READ_IMPLIES_EXEC = 0x40_0000  # include/uapi/linux/personality.h
ASK = 0xFFFF_FFFF  # of personality(2)

SYS_PERSONALITY, SYS_PRLIMIT64 = 135, 302  # arch/x86/entry/syscalls/syscall_64.tbl

#: The limit that allows no core dump: shorter than any dump in a file, and a pipe's mark for none (fs/coredump.c).
NO_DUMP = 1

#: What /proc shows of this thread: no filter of system calls denies it, or answers in its place.
OWN = Path("/proc/thread-self")

_libc = ctypes.CDLL(None, use_errno=True)


def ordinary_priority() -> list[Step]:
    """Steps to a policy and a nice value that are not above the default.  Creator thread only.  Raises `HostError`.

    As SCHED_RESET_ON_FORK does it: what is below the default (SCHED_BATCH, SCHED_IDLE, a positive nice value) stays.
    """
    policy, nice = _priority()
    zero = ffi.new("int *", 0)  # struct sched_param
    ordinary = Step("sched_setscheduler(SCHED_OTHER)", lib.SYS_sched_setscheduler, (0, os.SCHED_OTHER, zero))
    nice_zero = Step("setpriority", lib.SYS_setpriority, (os.PRIO_PROCESS, 0, 0))
    return [*([ordinary] if policy in URGENT else []), *([nice_zero] if nice < 0 else [])]


def no_implied_access() -> list[Step]:
    """A step to a personality in which memory that is mapped readable is not executable too.  Raises `HostError`."""
    personality = _personality()
    if not personality & READ_IMPLIES_EXEC:
        return []
    return [Step("personality", SYS_PERSONALITY, (personality & ~READ_IMPLIES_EXEC,), personality)]


def no_core_dump() -> list[Step]:
    """A step to a limit under which no end of a stub writes guest memory to the host's disk.

    A limit of 0 stays.  A program that takes dumps through a pipe is told of it, and must heed it itself (core(5)).
    """
    try:
        allowed = resource.getrlimit(resource.RLIMIT_CORE)[0]
    except OSError:  # a filter forbids the question
        allowed = resource.RLIM_INFINITY
    if 0 <= allowed <= NO_DUMP:
        return []
    limit = ffi.new("unsigned char[]", struct.pack("=QQ", NO_DUMP, NO_DUMP))  # struct rlimit64
    return [Step("prlimit64(RLIMIT_CORE)", SYS_PRLIMIT64, (0, resource.RLIMIT_CORE, limit, 0))]


def _priority() -> tuple[int, int]:
    """The policy and the nice value of this thread."""
    try:
        fields = (OWN / "stat").read_text().rpartition(")")[2].split()
        return int(fields[38]), int(fields[16])
    except OSError:  # no /proc, or that of another PID namespace
        pass
    try:
        return os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK, os.getpriority(os.PRIO_PROCESS, 0)
    except OSError as error:
        raise _unknown(error.errno, "sched_getscheduler or getpriority, for the priority", "stat") from error


def _personality() -> int:
    """The personality of this thread."""
    try:
        return int((OWN / "personality").read_text(), 16)
    except OSError:
        pass
    personality: int = _libc.personality(ASK)
    if personality < 0:
        raise _unknown(ctypes.get_errno(), "personality(2), for the personality", "personality")
    return personality


def _unknown(error: int | None, question: str, file: str) -> HostError:
    remedy = f"allow the call, or mount a /proc that has {OWN / file}"
    return HostError(error or 0, f"{question} that a new stub would inherit ({remedy})")
