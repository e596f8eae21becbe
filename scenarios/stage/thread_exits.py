"""How tracing threads end: in the ordinary ways, which run destructors, and by vanishing, which does not."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.guests._guests import lib
from worldswitch.scenarios.stage.stage import Stage

libc = ctypes.CDLL(None)


def by_returning() -> None:
    """The thread's function returns."""


def by_exception() -> None:
    """An exception leaves the thread's function."""
    sys.exit()  # the only exception that ends a thread silently


def by_pthread_exit() -> None:
    """The C library ends the thread in the middle of its function."""
    lib.exit_thread()


#: The endings that any program may use.
ORDINARY = (by_returning, by_exception, by_pthread_exit)


def by_vanishing() -> None:
    """The thread makes the system call exit itself: no destructor runs."""
    libc.syscall(int(Number.EXIT), 0)


def depart(stage: Stage, work: Callable[[], object], ending: Callable[[], None], seconds: float = 5.0) -> int:
    """Run `work` in a new thread that ends by `ending`; its id, once the kernel has removed the thread."""
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
