"""Evidence that only a child process can collect: the look cannot be undone, or a filter may kill for it."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import signal
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

from worldswitch.harness.ptrace_denial.confinement import Confinement

# arch/x86/entry/syscalls/syscall_64.tbl; include/uapi/asm-generic/unistd.h has the same numbers
LANDLOCK_CREATE_RULESET, LANDLOCK_RESTRICT_SELF, LSM_LIST_MODULES = 444, 446, 461

LANDLOCK_LAYERS = 16  #: LANDLOCK_MAX_NUM_LAYERS, security/landlock/limits.h
LANDLOCK_ACCESS_FS_EXECUTE = 1  # include/uapi/linux/landlock.h
PR_SET_NO_NEW_PRIVS, PR_GET_MDWE = 38, 66  # include/uapi/linux/prctl.h
PTRACE_SEIZE = 0x4206  # include/uapi/linux/ptrace.h
PR_SET_PDEATHSIG = 1  # include/uapi/linux/prctl.h
WALL = 0x4000_0000  # __WALL, include/uapi/linux/wait.h

#: include/uapi/linux/lsm.h: LSM_ID_CAPABILITY and those that follow it
MODULE_NAMES = (
    *("capability", "selinux", "smack", "tomoyo", "apparmor", "yama", "loadpin", "safesetid", "lockdown", "bpf"),
    *("landlock", "ima", "evm", "ipe"),
)
FIRST_MODULE = 100

SECONDS = 5.0  #: far above the time of a look

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)


def completed(known: Confinement) -> Confinement:
    """Add what `current` cannot see."""
    return replace(
        known,
        modules=known.modules or active_modules(),
        landlock=landlock_domains(),
        traces_new_child=can_trace_a_child(),
    )


def can_trace_a_child() -> bool | None:
    """Return whether this thread may trace a child that it forks now; None if there is no answer."""
    found = _in_a_child(lambda: str(_seize_a_child()))
    return None if found is None else found == "0"


def _seize_a_child() -> int:
    parent, pid = os.getpid(), os.fork()
    if pid == 0:  # a filter may kill the parent for its request
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() == parent:
            signal.pause()
        os._exit(0)
    try:
        return int(_libc.ptrace(PTRACE_SEIZE, pid, None, None))
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, WALL)


def landlock_domains() -> int | None:
    """Return the number of nested Landlock domains that this thread is in; None if that cannot be found.

    No file shows it.  The kernel nests at most `LANDLOCK_LAYERS`, so a child enters new ones until it refuses.
    """
    found = _in_a_child(lambda: str(_count_domains()))
    return int(found) if found is not None and found != "None" else None


def _count_domains() -> int | None:
    _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    handled = ctypes.c_uint64(LANDLOCK_ACCESS_FS_EXECUTE)
    ruleset = _call(LANDLOCK_CREATE_RULESET, ctypes.addressof(handled), ctypes.sizeof(handled), 0)
    if ruleset < 0:
        return None
    entered = 0
    while entered <= LANDLOCK_LAYERS and _call(LANDLOCK_RESTRICT_SELF, ruleset, 0) == 0:
        entered += 1
    refused_for_depth = ctypes.get_errno() == errno.E2BIG
    return LANDLOCK_LAYERS - entered if refused_for_depth else None


def active_modules() -> str:
    """Return the active security modules by lsm_list_modules(2), of Linux 6.8; empty if the kernel refuses."""
    return _in_a_child(_list_modules) or ""


def _list_modules() -> str:
    ids = ctypes.create_string_buffer(8 * 64)
    size = ctypes.c_uint32(len(ids))
    count = _call(LSM_LIST_MODULES, ctypes.addressof(ids), ctypes.addressof(size), 0)
    numbers = struct.unpack_from(f"={max(count, 0)}Q", ids)
    return ",".join(
        MODULE_NAMES[number - FIRST_MODULE] if 0 <= number - FIRST_MODULE < len(MODULE_NAMES) else f"module {number}"
        for number in numbers
    )


def refuses_executable_memory() -> bool:
    """Return true if PR_SET_MDWE is in force, as by systemd's MemoryDenyWriteExecute=."""
    return _in_a_child(lambda: str(_libc.prctl(PR_GET_MDWE, 0, 0, 0, 0))) in ("1", "3")


def _call(number: int, *arguments: int) -> int:
    result: int = _libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments))
    return result


def _in_a_child(look: Callable[[], str]) -> str | None:
    """Return the result of `look` in a forked child; None if there is no child, or no result in time."""
    reader, writer = os.pipe()
    try:
        pid = os.fork()
        if pid == 0:
            _report(look, writer)
    except OSError:  # a limit on processes, or a filter
        os.close(reader)
        return None
    finally:
        os.close(writer)
    return _answer(pid, reader)


def _report(look: Callable[[], str], writer: int) -> NoReturn:
    try:
        os.write(writer, look().encode())
    finally:
        os._exit(0)


def _answer(pid: int, reader: int) -> str | None:
    wait = select.poll()
    wait.register(reader)
    try:
        wait.poll(1000 * SECONDS)  # for the result, or for the end of the pipe if a filter killed the child
        os.set_blocking(reader, False)
        with contextlib.suppress(BlockingIOError):
            return os.read(reader, 4096).decode() or None
        return None
    finally:
        os.close(reader)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, WALL)
