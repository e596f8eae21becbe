"""How tracing threads end: in the ordinary ways, which let a platform act, and by vanishing, which does not."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage.stage import Stage

libc = ctypes.CDLL(None)


def by_returning() -> None:
    """The thread's function comes to its end."""


def by_exception() -> None:
    """An exception leaves the thread's function."""
    sys.exit()  # the one exception that threads end with in silence


def by_pthread_exit() -> None:
    """The C library ends the thread from the middle of its function."""
    libc.pthread_exit(None)


#: What every thread of a program may do.
ORDINARY = (by_returning, by_exception, by_pthread_exit)


def by_vanishing() -> None:
    """The thread makes the system call exit itself: nobody's clean-up runs."""
    libc.syscall(int(Number.EXIT), 0)


def depart(stage: Stage, work: Callable[[], object], ending: Callable[[], None], seconds: float = 5.0) -> int:
    """Do `work` in a new thread that then ends as told; once the kernel has forgotten the thread, its id."""
    thread = _Departing(work, ending)
    stage.wait_until(lambda: thread.is_gone, seconds, f"a thread that ends {ending.__name__} is gone")
    if thread.error is not None:
        raise thread.error
    return thread.tid


class _Departing:
    def __init__(self, work: Callable[[], object], ending: Callable[[], None]) -> None:
        self._work, self._ending = work, ending
        self.tid = 0
        self.error: BaseException | None = None
        threading.Thread(target=self._live, daemon=True).start()

    def _live(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self.error = error
        self.tid = threading.get_native_id()
        self._ending()

    @property
    def is_gone(self) -> bool:
        return self.tid != 0 and not Path(f"/proc/self/task/{self.tid}").exists()
