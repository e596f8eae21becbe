"""What the C library keeps for each thread where the kernel writes to it, unasked, by an address it was once told.

Three such addresses are known to the kernel per thread, and all lie in the C library's descriptor of the thread, at or
just behind ``pthread_self()``: the restartable-sequence area (rseq(2)), the word that is cleared when the thread ends
(set_tid_address(2)) and the list of locks that are marked then (set_robust_list(2)).
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

#: With what length an area may have been registered: ``__rseq_size`` does not always say.
RSEQ_LENGTHS = (32, 20, 24, 28, *range(40, 129, 8))

#: How much of a thread's descriptor is looked after; it may begin anywhere in its first page.
DESCRIPTOR_SIZE = 2 * PAGE

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def descriptors() -> list[int]:
    """The page where the C library's descriptor begins, of each thread Python knows, the platform's among them."""
    return [thread.ident // PAGE * PAGE for thread in threading.enumerate() if thread.ident is not None]


def robust_lists() -> list[int]:
    """Where the C library has the head of each thread's list of robust locks."""
    head, length = ctypes.c_size_t(), ctypes.c_size_t()
    if _libc.syscall(GET_ROBUST_LIST, 0, ctypes.byref(head), ctypes.byref(length)) != 0:
        raise OSError(ctypes.get_errno(), "get_robust_list")
    offset = head.value - threading.get_ident()
    return [thread.ident + offset for thread in threading.enumerate() if thread.ident is not None]


def robust_list(head: int, tids: Sequence[int]) -> bytes:
    """A list to lie at `head`, of one lock for each thread, held by it (struct robust_list_head, <linux/futex.h>)."""
    size = 24
    entries = [head + size * (index + 1) for index in range(len(tids))]
    words = [entries[0], 16, 0]  # the first entry, where in an entry the lock is, nothing pending
    for tid, following in zip(tids, [*entries[1:], head], strict=True):
        words += [following, 0, tid]
    return struct.pack(f"={len(words)}Q", *words)


def forget_rseq() -> bool:
    """Have the kernel forget the calling thread's rseq area; whether it had one.

    The C library then registers none for the threads that this one makes, either.
    """
    try:
        offset = ctypes.c_ssize_t.in_dll(_libc, "__rseq_offset").value
    except ValueError:  # a C library that knows nothing of rseq
        return False
    area = ctypes.c_size_t(threading.get_ident() + offset)
    return any(_libc.syscall(RSEQ, area, length, RSEQ_FLAG_UNREGISTER, RSEQ_SIGNATURE) == 0 for length in RSEQ_LENGTHS)


def vdso() -> range:
    """The pages where the kernel put code of its own into this process; none where it did not."""
    mapping = next((mapping for mapping in mappings_of(os.getpid()) if mapping.name == "[vdso]"), None)
    return range(mapping.begin, mapping.end, PAGE) if mapping else range(0)
