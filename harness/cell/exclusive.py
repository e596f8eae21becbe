"""Who may run now: trials beside one another, or, if it changes what all of a machine share, one trial alone.

xdist's workers take turns by flock(2) on a file that only they know: it lives in the memory of the process that
started them, and ends with that.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """The file that the workers take turns by, in the process that starts them."""

    def __init__(self) -> None:
        self._descriptor = os.memfd_create("turns")

    @property
    def path(self) -> str:
        """Where workers find it, as long as this lives."""
        return f"/proc/{os.getpid()}/fd/{self._descriptor}"


@contextmanager
def turn(path: str | None, *, alone: bool) -> Iterator[None]:
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
            fcntl.flock(file, fcntl.LOCK_UN)  # the file alone could not: what a trial leaves behind has it open too
