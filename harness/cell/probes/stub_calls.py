"""Probes of the system calls that platforms inject into stubs: mmap at a fixed address, munmap, clone of a thread."""

from __future__ import annotations

import ctypes
import mmap

from worldswitch.harness.cell.probes import Absent, Look, calls, trying
from worldswitch.harness.cell.probes.calls import Call
from worldswitch.harness.linux import syscalls
from worldswitch.harness.linux.ptrace import FAKED

MMAP, MUNMAP, MSYNC, CLONE = 9, 11, 26, 56  # arch/x86/entry/syscalls/syscall_64.tbl
MAP_SHARED, MAP_FIXED, MAP_ANONYMOUS, MS_ASYNC = 0x01, 0x10, 0x20, 1  # include/uapi/asm-generic/mman-common.h
# include/uapi/linux/sched.h: VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, as for a stub's thread
THREAD_FLAGS = 0x5_0F00
CLONE_VM, CLONE_THREAD = 0x100, 0x1_0000

#: An address for guests that this process does not use: above any mmap_min_addr, below any program.
LOW = 0x20_0000

#: A mapping for a guest.
MAPPING = (LOW, mmap.PAGESIZE, mmap.PROT_READ, MAP_SHARED | MAP_FIXED | MAP_ANONYMOUS, -1)

_libc = ctypes.CDLL(None, use_errno=True)

#: The stack of the thread, which the process must have until its end: nothing tells when the thread is gone.
_stack = ctypes.create_string_buffer(1 << 16)


def _map() -> None:
    if syscalls.syscall(MMAP, *MAPPING, 0) != LOW:
        raise OSError(FAKED, "mmap at a fixed address returned another one")


def _unmap() -> None:
    syscalls.syscall(MUNMAP, LOW, mmap.PAGESIZE)
    try:
        syscalls.syscall(MSYNC, LOW, mmap.PAGESIZE, MS_ASYNC)
    except OSError:  # ENOMEM: nothing is mapped there
        return
    raise OSError(FAKED, "munmap left the mapping")


def _clone_a_thread() -> None:
    """Start a thread with a stub's flags, which calls getpid and ends."""
    top = ctypes.addressof(_stack) + len(_stack)
    body = ctypes.cast(_libc.getpid, ctypes.c_void_p)
    if _libc.clone(body, ctypes.c_void_p(top), THREAD_FLAGS, None) == -1:
        raise OSError(ctypes.get_errno(), "clone")


#: Without CLONE_SIGHAND the kernel rejects CLONE_THREAD; with an offset inside a page, mmap; inside a page, munmap.
CALLS = (
    Call("mmap", _map, MMAP, (*MAPPING, 1)),
    Call("munmap", _unmap, MUNMAP, (LOW + 1, mmap.PAGESIZE)),
    Call("clone", _clone_a_thread, CLONE, (CLONE_VM | CLONE_THREAD, 0, 0, 0, 0)),
)


def _stub_calls() -> str:
    calls.make_all(CALLS)
    return "mmap at a fixed address, munmap, and clone of a thread"


def _stub_calls_denied() -> str:
    """Check that one of the calls is denied, in a child since a filter may kill it."""
    found = trying.probe(_stub_calls)
    if found.state == "yes":
        raise Absent(f"allowed: {found.detail}")
    return found.detail


#: The probes of this file, by their names in a scenario's ``needs``.
PROBES: dict[str, Look] = {"stub_calls": _stub_calls, "stub_calls_denied": _stub_calls_denied}
