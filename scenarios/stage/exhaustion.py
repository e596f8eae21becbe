"""Context managers that exhaust file descriptors, processes or memory."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from worldswitch.harness.contract import Access, AddressSpace
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage.stage import Stage

NOBODY = 65534
PR_SET_DUMPABLE = 4  # <linux/prctl.h>
MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS, MAP_NORESERVE = 0x02, 0x10, 0x20, 0x4000  # <linux/mman.h>
NO_FILE = (1 << 64) - 1

libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def no_descriptors(left: int = 0) -> Iterator[None]:
    """No thread of this process can open another file, or only `left` files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = [os.dup(0) for _ in range(left + 1)]
    for descriptor in free:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[-1], hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def processes_left(pid: int, left: int) -> Iterator[None]:
    """Let a process create at most `left` threads or children.

    A number above 0 holds only while no other process of its user starts or ends.
    """
    limits = resource.prlimit(pid, resource.RLIMIT_NPROC)
    resource.prlimit(pid, resource.RLIMIT_NPROC, (_tasks_of_user() + left if left else 1, limits[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NPROC, limits)


def _tasks_of_user() -> int:
    """The number of threads that count against this user's limit."""
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile
            count += sum(task.stat().st_uid == os.getuid() for task in (process / "task").iterdir())
    return count


def no_processes(pid: int) -> AbstractContextManager[None]:
    """A process can create no thread and no child, unless it is privileged (see `become_nobody`)."""
    return processes_left(pid, 0)


def become_nobody() -> None:
    """Become a user that process limits apply to and whose children can be traced; this cannot be undone."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)


@contextmanager
def all_processes_taken(_: int) -> Iterator[None]:
    """Fork children until the limit on processes is reached."""
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
    """Map private memory of the stub by an injected call; its address."""
    flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE
    address = stage.place(space, size)
    return stage.inspect(space).inject(Number.MMAP, address, size, Access.READ | Access.WRITE, flags, NO_FILE, 0)
