"""Whether a filter lets through what a stub is made to do: mappings at a fixed place, their end, threads."""

from __future__ import annotations

import errno
import mmap

from worldswitch.harness.cell.probes import Absent, Look, trying
from worldswitch.harness.linux import syscalls

MMAP, MUNMAP, CLONE = 9, 11, 56  # arch/x86/entry/syscalls/syscall_64.tbl
MAP_SHARED, MAP_FIXED, MAP_ANONYMOUS = 0x01, 0x10, 0x20  # include/uapi/asm-generic/mman-common.h
# include/uapi/linux/sched.h: what makes a thread, and the flag without which the kernel makes none
CLONE_VM, CLONE_SIGHAND, CLONE_THREAD = 0x100, 0x800, 0x10000

#: Where guests are and nothing of this process is: above any mmap_min_addr, below any program.
LOW = 0x20_0000


def _stub_calls() -> str:
    flags = MAP_SHARED | MAP_FIXED | MAP_ANONYMOUS
    where = syscalls.syscall(MMAP, LOW, mmap.PAGESIZE, mmap.PROT_READ, flags, -1, 0)
    syscalls.syscall(MUNMAP, where, mmap.PAGESIZE)
    try:  # of a kind that a filter takes for a thread of a stub, and the kernel for a mistake
        syscalls.syscall(CLONE, CLONE_VM | CLONE_THREAD, 0, 0, 0, 0)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    return "mmap at a fixed place, munmap there, and clone of a thread"


def _stub_calls_denied() -> str:
    """Whether one of them gets no answer, or another one; a kill is told by a child."""
    found = trying.probe(_stub_calls)
    if found.state == "yes":
        raise Absent(f"allowed are {found.detail}")
    return found.detail


#: The probes of this file, by the name a scenario's ``needs`` calls each.
PROBES: dict[str, Look] = {"stub_calls": _stub_calls, "stub_calls_denied": _stub_calls_denied}
