"""The lock between trials: shared, or exclusive for a trial that changes machine-wide state.

xdist's workers use flock(2) on a memfd of the process that started them, or a nameless file if there are no memfds.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


class LockFile:
    """The lock file, in the process that starts the workers."""

    def __init__(self) -> None:
        try:
            self._descriptor = os.memfd_create("worldswitch-trials")
        except OSError:  # an emulated kernel, or a seccomp filter
            with tempfile.TemporaryFile() as file:
                self._descriptor = os.dup(file.fileno())

    @property
    def path(self) -> str:
        """Its path for the workers, valid while this process lives."""
        return f"/proc/{os.getpid()}/fd/{self._descriptor}"


@contextmanager
def hold(path: str | None, *, alone: bool) -> Iterator[None]:
    """Hold the lock shared, or exclusive if `alone`; does nothing without `path`.

    The wait is bounded: each holder has its trial's deadline.
    """
    if path is None:
        yield
        return
    with open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # closing is not enough: strays of the trial have the file open too
