"""The C library's data of each thread to which the kernel writes, at an address registered earlier.

The kernel knows three such addresses per thread.  All are in the C library's thread descriptor, at or just behind
``pthread_self()``: the restartable-sequence area (rseq(2)), the word cleared when the thread ends
(set_tid_address(2)) and the list of robust locks (set_robust_list(2)).
"""

from __future__ import annotations

import ctypes
import os
import struct
import threading
from collections.abc import Sequence

from worldswitch.scenarios.stage.processes import mappings_of
from worldswitch.scenarios.stage.stage import PAGE

# asm/unistd_64.h
GET_ROBUST_LIST, RSEQ = 274, 334

RSEQ_FLAG_UNREGISTER = 1  # <linux/rseq.h>
RSEQ_SIGNATURE = 0x5305_3053  # glibc's on x86: sysdeps/unix/sysv/linux/x86/bits/rseq.h

#: Possible lengths of a registered area: ``__rseq_size`` is not always the registered one.
RSEQ_LENGTHS = (32, 20, 24, 28, *range(40, 129, 8))

#: The examined size of a thread descriptor, which may begin anywhere in its first page.
DESCRIPTOR_SIZE = 2 * PAGE

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def descriptors() -> list[int]:
    """The first page of each thread's descriptor, for all threads that Python knows, the platform's included."""
    return [thread.ident // PAGE * PAGE for thread in threading.enumerate() if thread.ident is not None]


def robust_lists() -> list[int]:
    """The address of the head of each thread's list of robust locks."""
    head, length = ctypes.c_size_t(), ctypes.c_size_t()
    if _libc.syscall(GET_ROBUST_LIST, 0, ctypes.byref(head), ctypes.byref(length)) != 0:
        raise OSError(ctypes.get_errno(), "get_robust_list")
    offset = head.value - threading.get_ident()
    return [thread.ident + offset for thread in threading.enumerate() if thread.ident is not None]


def robust_list(head: int, tids: Sequence[int]) -> bytes:
    """A robust list for address `head`, with a lock held by each thread (struct robust_list_head, <linux/futex.h>)."""
    size = 24
    entries = [head + size * (index + 1) for index in range(len(tids))]
    words = [entries[0], 16, 0]  # the first entry, the offset of the lock in an entry, nothing pending
    for tid, following in zip(tids, [*entries[1:], head], strict=True):
        words += [following, 0, tid]
    return struct.pack(f"={len(words)}Q", *words)


def forget_rseq() -> bool:
    """Unregister the calling thread's rseq area; whether it had one.

    The C library then registers none for threads that this one creates either.
    """
    try:
        offset = ctypes.c_ssize_t.in_dll(_libc, "__rseq_offset").value
    except ValueError:  # a C library without rseq
        return False
    area = ctypes.c_size_t(threading.get_ident() + offset)
    return any(_libc.syscall(RSEQ, area, length, RSEQ_FLAG_UNREGISTER, RSEQ_SIGNATURE) == 0 for length in RSEQ_LENGTHS)


def vdso() -> range:
    """The pages of this process's vDSO; empty if it has none."""
    mapping = next((mapping for mapping in mappings_of(os.getpid()) if mapping.name == "[vdso]"), None)
    return range(mapping.begin, mapping.end, PAGE) if mapping else range(0)
