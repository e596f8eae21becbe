"""The implemented system calls: each function takes the process and returns a result, or a negated errno.

Numbers are x86-64's.  Files are the host's: this process opens them with its own privileges.
"""

from __future__ import annotations

import errno
import os
import struct
import time
from collections.abc import Callable
from typing import Protocol

from worldswitch.harness.contract import Access, PlatformError, State
from worldswitch.harness.guest_kernel.memory import PAGE, BadPointer, GuestMemory, whole_pages

Serve = Callable[["CallingProcess"], int]

AT_FDCWD = -100 & 0xFFFF_FFFF
MAP_FIXED, MAP_ANONYMOUS = 0x10, 0x20
ARCH_SET_FS, ARCH_SET_GS = 0x1002, 0x1001
HEAP_SIZE = 16 << 20
MAX_TRANSFER = 1 << 20  #: bytes per read or write; both calls may transfer less than the program requested


class CallingProcess(Protocol):
    """The parts of the calling process that system calls read and change."""

    state: State
    memory: GuestMemory
    files: dict[int, int]  #: the program's descriptors → this process's
    arena: int  #: the address of the next mapping for which the program names none
    heap: int
    heap_end: int


class ProgramEnded(Exception):
    """The program has called exit or exit_group."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


# ------------------------------------------------------------------------------------------------------------ process


def _getpid(process: CallingProcess) -> int:
    return 1


def _end(process: CallingProcess) -> int:
    raise ProgramEnded(process.state["rdi"] & 0xFF)


def _arch_prctl(process: CallingProcess) -> int:
    bases = {ARCH_SET_FS: "fs_base", ARCH_SET_GS: "gs_base"}
    option, address, *_ = process.state.arguments
    if option not in bases:
        return -errno.EINVAL
    process.state[bases[option]] = address
    return 0


# --------------------------------------------------------------------------------------------------------------- time


def _clock_gettime(process: CallingProcess) -> int:
    clock, address, *_ = process.state.arguments
    seconds, rest = divmod(time.clock_gettime_ns(clock), 1_000_000_000)
    process.memory.write(address, struct.pack("<qq", seconds, rest))
    return 0


# -------------------------------------------------------------------------------------------------------------- files


def _write(process: CallingProcess) -> int:
    file, address, length, *_ = process.state.arguments
    return os.write(process.files[file], process.memory.read(address, min(length, MAX_TRANSFER)))


def _read(process: CallingProcess) -> int:
    file, address, length, *_ = process.state.arguments
    contents = os.read(process.files[file], min(length, MAX_TRANSFER))
    process.memory.write(address, contents)
    return len(contents)


def _open(process: CallingProcess) -> int:
    return _opened(process, *process.state.arguments[:3])


def _openat(process: CallingProcess) -> int:
    folder, *rest = process.state.arguments[:4]
    return _opened(process, *rest) if folder & 0xFFFF_FFFF == AT_FDCWD else -errno.ENOSYS


def _opened(process: CallingProcess, path: int, flags: int, mode: int) -> int:
    host_file = os.open(process.memory.text(path), flags | os.O_CLOEXEC, mode)
    file = next(number for number in range(len(process.files) + 1) if number not in process.files)
    process.files[file] = host_file
    return file


def _close(process: CallingProcess) -> int:
    host_file = process.files.pop(process.state["rdi"])
    if host_file > 2:
        os.close(host_file)
    return 0


# ------------------------------------------------------------------------------------------------------------- memory


def _brk(process: CallingProcess) -> int:
    end = process.state["rdi"]
    if process.heap <= end <= process.heap + HEAP_SIZE:
        process.heap_end = end
    return process.heap_end


def _mmap(process: CallingProcess) -> int:
    address, length, access, flags, *_ = process.state.arguments
    if not flags & MAP_ANONYMOUS or flags & MAP_FIXED or not length:
        return -errno.EINVAL if flags & MAP_ANONYMOUS else -errno.ENODEV
    size = whole_pages(length)
    address, process.arena = process.arena, process.arena + size + PAGE
    process.memory.add(address, size, Access(access & 7))
    return address


def _munmap(process: CallingProcess) -> int:
    address, length, *_ = process.state.arguments
    process.memory.remove(address, whole_pages(length))
    return 0


# -------------------------------------------------------------------------------------------------------------- table


def _errors_as_errno(serve: Serve) -> Serve:
    """The same function, with exceptions turned into the negated errno that Linux returns."""

    def served(process: CallingProcess) -> int:
        try:
            return serve(process)
        except BadPointer:
            return -errno.EFAULT
        except KeyError:
            return -errno.EBADF
        except OSError as problem:
            return -(problem.errno or errno.EIO)
        except PlatformError:
            return -errno.EINVAL

    return served


#: Calls that may fail, by number.
FALLIBLE = {0: _read, 1: _write, 2: _open, 3: _close, 9: _mmap, 11: _munmap, 228: _clock_gettime, 257: _openat}

#: All calls.  Those that cannot fail are not wrapped, since programs make them most.
CALLS: dict[int, Serve] = {
    **{number: _errors_as_errno(serve) for number, serve in FALLIBLE.items()},
    12: _brk,
    39: _getpid,
    60: _end,
    158: _arch_prctl,
    186: _getpid,  # gettid
    218: _getpid,  # set_tid_address
    231: _end,
}
