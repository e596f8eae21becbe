"""Worlds in which something is no longer to be had: file descriptors, processes.  A tool for scenarios."""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

NOBODY = 65534
PR_SET_DUMPABLE = 4  # <linux/prctl.h>

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
