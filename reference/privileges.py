"""The privileges that a stub would inherit from its maker, and the steps of the birth plan that give them up.

The maker is asked at each birth: another process may change its priority at any time.  A stub whose maker has none of
them takes no step, so that no filter or policy over it needs to allow these calls.
"""

from __future__ import annotations

import ctypes
import os

from worldswitch.reference._core import ffi, lib
from worldswitch.reference.birth_plan import Step

SCHED_DEADLINE = 6  # include/uapi/linux/sched.h
URGENT = (os.SCHED_FIFO, os.SCHED_RR, SCHED_DEADLINE)

READ_IMPLIES_EXEC = 0x40_0000  # include/uapi/linux/personality.h
SYS_PERSONALITY = 135  # arch/x86/entry/syscalls/syscall_64.tbl
ASK = 0xFFFF_FFFF  # of personality(2)

_libc = ctypes.CDLL(None)


def ordinary_priority() -> list[Step]:
    """Steps to a policy and a nice value that are not above the default.  Creator thread only.

    As SCHED_RESET_ON_FORK does it: what is below the default (SCHED_BATCH, SCHED_IDLE, a positive nice value) stays.
    """
    try:
        policy, nice = os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK, os.getpriority(os.PRIO_PROCESS, 0)
    except OSError:  # a filter forbids the question, and so most likely any change of what it asks for
        return []
    priority = ffi.new("int *", 0)  # struct sched_param
    ordinary = Step("sched_setscheduler(SCHED_OTHER)", lib.SYS_sched_setscheduler, (0, os.SCHED_OTHER, priority))
    nice_zero = Step("setpriority", lib.SYS_setpriority, (os.PRIO_PROCESS, 0, 0))
    return [*([ordinary] if policy in URGENT else []), *([nice_zero] if nice < 0 else [])]


def no_implied_access() -> list[Step]:
    """A step to a personality in which memory that is mapped readable is not executable as well."""
    personality = _libc.personality(ASK)
    if personality < 0 or not personality & READ_IMPLIES_EXEC:
        return []
    return [Step("personality", SYS_PERSONALITY, (personality & ~READ_IMPLIES_EXEC,), personality)]
