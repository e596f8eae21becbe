"""Probes of the system calls that platforms inject into stubs: mmap at a fixed address, munmap, clone of a thread."""

from __future__ import annotations

import errno
import mmap

from worldswitch.harness.cell.probes import Absent, Look, trying
from worldswitch.harness.linux import syscalls

MMAP, MUNMAP, CLONE = 9, 11, 56  # arch/x86/entry/syscalls/syscall_64.tbl
MAP_SHARED, MAP_FIXED, MAP_ANONYMOUS = 0x01, 0x10, 0x20  # include/uapi/asm-generic/mman-common.h
# include/uapi/linux/sched.h: the flags of a thread; without CLONE_SIGHAND the kernel rejects CLONE_THREAD
CLONE_VM, CLONE_SIGHAND, CLONE_THREAD = 0x100, 0x800, 0x10000

#: An address for guests that this process does not use: above any mmap_min_addr, below any program.
LOW = 0x20_0000


def _stub_calls() -> str:
    flags = MAP_SHARED | MAP_FIXED | MAP_ANONYMOUS
    where = syscalls.syscall(MMAP, LOW, mmap.PAGESIZE, mmap.PROT_READ, flags, -1, 0)
    syscalls.syscall(MUNMAP, where, mmap.PAGESIZE)
    try:  # a filter sees the clone of a thread, and the kernel rejects it as invalid
        syscalls.syscall(CLONE, CLONE_VM | CLONE_THREAD, 0, 0, 0, 0)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    return "mmap at a fixed address, munmap, and clone of a thread"


def _stub_calls_denied() -> str:
    """Check that one of the calls is denied, in a child since a filter may kill it."""
    found = trying.probe(_stub_calls)
    if found.state == "yes":
        raise Absent(f"allowed: {found.detail}")
    return found.detail


#: The probes of this file, by their names in a scenario's ``needs``.
PROBES: dict[str, Look] = {"stub_calls": _stub_calls, "stub_calls_denied": _stub_calls_denied}
