"""Probes of memory management."""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path

from worldswitch.harness.cell.probes import Absent, Look
from worldswitch.harness.linux import processes, syscalls

# Since Linux 5.0, asm/unistd_64.h and include/uapi/asm-generic/unistd.h have the same numbers.
PIDFD_OPEN, PROCESS_MADVISE, MSEAL = 434, 440, 462

MADV_DONTFORK = 10  # include/uapi/asm-generic/mman-common.h

#: The end of user addresses on x86 with five-level paging: TASK_SIZE_MAX, arch/x86/include/asm/page_64.h.
FIVE_LEVELS_END = (1 << 56) - mmap.PAGESIZE

_libc = ctypes.CDLL(None, use_errno=True)
_libc.munmap.argtypes = (ctypes.c_size_t, ctypes.c_size_t)


def _memfd() -> str:
    os.close(os.memfd_create("worldswitch-probe"))
    return "memfd_create"


def _mseal() -> str:
    with mmap.mmap(-1, mmap.PAGESIZE) as page:
        syscalls.syscall(MSEAL, ctypes.addressof(ctypes.c_char.from_buffer(page)), mmap.PAGESIZE, 0)
    return "mseal of a page"


def _sealed_vdso() -> str:
    """Try to unmap the vdso, which CONFIG_MSEAL_SYSTEM_MAPPINGS seals."""
    begin, length = _vdso()

    def unmap() -> None:
        if _libc.munmap(begin, length):
            raise OSError(ctypes.get_errno(), "munmap of the vdso")

    try:
        processes.call_in_child(unmap)  # which may lose its vdso, and clock_gettime with it
    except PermissionError as refusal:
        return f"munmap of the vdso: {refusal.strerror}"
    raise Absent("the vdso can be unmapped")


def _vdso() -> tuple[int, int]:
    line = next((line for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith("[vdso]")), "")
    if not line:
        raise Absent("/proc/self/maps shows no vdso")
    begin, end = (int(word, 16) for word in line.split()[0].split("-"))
    return begin, end - begin


def _la57() -> str:
    if _libc.munmap(FIVE_LEVELS_END - mmap.PAGESIZE, mmap.PAGESIZE) != 0:
        raise Absent("user addresses end below 2^56")
    return "user addresses end at 2^56"


def _process_madvise() -> str:
    """Apply MADV_DONTFORK to own memory by process_madvise(2)."""
    with mmap.mmap(-1, mmap.PAGESIZE) as page:
        range_ = syscalls.Iovec(ctypes.addressof(ctypes.c_char.from_buffer(page)), mmap.PAGESIZE)
        us = syscalls.syscall(PIDFD_OPEN, os.getpid(), 0)
        syscalls.syscall(PROCESS_MADVISE, us, ctypes.addressof(range_), 1, MADV_DONTFORK, 0)
        os.close(us)
    return "process_madvise of this process with MADV_DONTFORK"


#: A scenario takes too long to create more mappings.
MANY_MAPPINGS = 1 << 17


def _max_map_count() -> str:
    limit = int(Path("/proc/sys/vm/max_map_count").read_text())
    if limit > MANY_MAPPINGS:
        raise Absent(f"vm.max_map_count is {limit}, too many to reach")
    return f"vm.max_map_count is {limit}"


#: The probes of this file, by their names in a scenario's ``needs``.
PROBES: dict[str, Look] = {
    "memfd": _memfd,
    "mseal": _mseal,
    "sealed_vdso": _sealed_vdso,
    "la57": _la57,
    "process_madvise": _process_madvise,
    "max_map_count": _max_map_count,
}
