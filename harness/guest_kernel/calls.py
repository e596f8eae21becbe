"""The system calls that are served, a function each: it is given the process, and answers as the kernel would.

Numbers are x86-64's.  Files are the host's: whatever the program opens is opened here, with what this process may do.
"""

from __future__ import annotations

import errno
import os
import struct
import time
from collections.abc import Callable
from typing import Protocol

from worldswitch.harness.contract import Access, PlatformError, State
from worldswitch.harness.guest_kernel.memory import PAGE, BadPointer, GuestMemory

Serve = Callable[["CallingProcess"], int]

AT_FDCWD = -100
MAP_FIXED, MAP_ANONYMOUS = 0x10, 0x20
ARCH_SET_FS, ARCH_SET_GS = 0x1002, 0x1001
HEAP_SIZE = 16 << 20
MOST = 1 << 20  #: bytes a read or a write moves at once; it may always move fewer than it is asked for


class CallingProcess(Protocol):
    """What a system call reads and changes of the process that made it."""

    state: State
    memory: GuestMemory
    files: dict[int, int]  #: the program's descriptors, and the host's
    arena: int  #: where the next mapping without an address goes
    heap: int
    heap_end: int


class ProgramEnded(Exception):
    """The program has ended."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


# ------------------------------------------------------------------------------------------------------------- itself


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
    return os.write(process.files[file], process.memory.read(address, min(length, MOST)))


def _read(process: CallingProcess) -> int:
    file, address, length, *_ = process.state.arguments
    contents = os.read(process.files[file], min(length, MOST))
    process.memory.write(address, contents)
    return len(contents)


def _open(process: CallingProcess) -> int:
    path, flags, mode, *_ = process.state.arguments
    return _opened(process, path, flags, mode)


def _openat(process: CallingProcess) -> int:
    folder, path, flags, mode, *_ = process.state.arguments
    if _signed(folder) & 0xFFFF_FFFF != AT_FDCWD & 0xFFFF_FFFF:
        return -errno.ENOSYS
    return _opened(process, path, flags, mode)


def _opened(process: CallingProcess, path: int, flags: int, mode: int) -> int:
    ours = os.open(process.memory.text(path), flags | os.O_CLOEXEC, mode)
    file = next(number for number in range(len(process.files) + 1) if number not in process.files)
    process.files[file] = ours
    return file


def _close(process: CallingProcess) -> int:
    ours = process.files.pop(process.state["rdi"])
    if ours > 2:
        os.close(ours)
    return 0


# ------------------------------------------------------------------------------------------------------------- memory


def _brk(process: CallingProcess) -> int:
    wanted = process.state["rdi"]
    if process.heap <= wanted <= process.heap + HEAP_SIZE:
        process.heap_end = wanted
    return process.heap_end


def _mmap(process: CallingProcess) -> int:
    address, length, access, flags, *_ = process.state.arguments
    if not flags & MAP_ANONYMOUS or flags & MAP_FIXED or not length:
        return -errno.EINVAL if flags & MAP_ANONYMOUS else -errno.ENODEV
    size = -(-length // PAGE) * PAGE
    address, process.arena = process.arena, process.arena + size + PAGE
    process.memory.add(address, size, Access(access & 7))
    return address


def _munmap(process: CallingProcess) -> int:
    address, length, *_ = process.state.arguments
    process.memory.remove(address, -(-length // PAGE) * PAGE)
    return 0


# -------------------------------------------------------------------------------------------------------------- table


def _as_the_kernel(serve: Serve) -> Serve:
    """What goes wrong, as the number the kernel answers."""

    def answer(process: CallingProcess) -> int:
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

    return answer


#: By number.  Those that cannot go wrong stand as they are: they are called most.
CALLS: dict[int, Serve] = {
    0: _as_the_kernel(_read),
    1: _as_the_kernel(_write),
    2: _as_the_kernel(_open),
    3: _as_the_kernel(_close),
    9: _as_the_kernel(_mmap),
    11: _as_the_kernel(_munmap),
    12: _brk,
    39: _getpid,
    60: _end,
    158: _arch_prctl,
    186: _getpid,  # gettid
    218: _getpid,  # set_tid_address
    228: _as_the_kernel(_clock_gettime),
    231: _end,
    257: _as_the_kernel(_openat),
}
