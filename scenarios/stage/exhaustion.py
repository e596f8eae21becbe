"""Worlds in which something is no longer to be had: file descriptors, processes, memory.  A tool for scenarios."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from worldswitch.harness.contract import Access, AddressSpace
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage.stage import Stage

NOBODY = 65534
PR_SET_DUMPABLE = 4  # <linux/prctl.h>
MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS, MAP_NORESERVE = 0x02, 0x10, 0x20, 0x4000  # <linux/mman.h>
NO_FILE = (1 << 64) - 1

libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Nobody in this process may open a further file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def no_processes(pid: int) -> Iterator[None]:
    """A process may make no thread and no child; a privileged one may all the same (see `become_nobody`)."""
    limits = resource.prlimit(pid, resource.RLIMIT_NPROC)
    resource.prlimit(pid, resource.RLIMIT_NPROC, (1, limits[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NPROC, limits)


def become_nobody() -> None:
    """Be a user whom limits on processes hold for, and whose children may be traced all the same; for ever."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)


@contextmanager
def all_processes_taken(_: int) -> Iterator[None]:
    """Have as many children as there may be processes, of whomever, for a while."""
    taken: list[int] = []
    try:
        with suppress(BlockingIOError):
            while True:
                taken.append(_idle_child())
        yield
    finally:
        for pid in taken:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _idle_child() -> int:
    pid = os.fork()
    if pid == 0:
        signal.pause()
    return pid


def reserve(stage: Stage, space: AddressSpace, size: int) -> int:
    """Give a stub memory of its own, which nobody else has and which goes with it; where it is."""
    flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE
    address = stage.place(space, size)
    return stage.inspect(space).inject(Number.MMAP, address, size, Access.READ | Access.WRITE, flags, NO_FILE, 0)
