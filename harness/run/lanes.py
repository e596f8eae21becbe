"""Cells side by side: those that share a machine run one after the other, in a lane, and beside them other lanes' do.

Cells without a lane have this whole machine: they run first, one after the other.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from worldswitch.harness.environments.protocol import Lane

T = TypeVar("T")


class Lanes:
    """The lanes of one run; `interrupted` says that no more cells are to start."""

    def __init__(self, width: int) -> None:
        """Have so many lanes go on at a time."""
        self._width = width
        self._open: set[Lane] = set()
        self._lock = threading.Lock()
        self.interrupted = False

    def run(self, tasks: Sequence[tuple[Lane | None, T]], do: Callable[[T], None]) -> None:
        """Do each task: those without a lane in this thread, the lanes' beside each other in the order of the tasks.

        At KeyboardInterrupt every lane is taken down, which ends what runs in it; the rest is still given to `do`.
        """
        for lane, task in tasks:
            if lane is None:
                do(task)
        lanes = list(dict.fromkeys(lane for lane, _ in tasks if lane))
        with ThreadPoolExecutor(self._width, thread_name_prefix="lane") as pool:
            going = [
                pool.submit(self._follow, lane, [task for its, task in tasks if its is lane], do) for lane in lanes
            ]
            try:
                wait(going)
            except KeyboardInterrupt:
                self.interrupted = True
                self._close()
                while wait(going, timeout=0.5).not_done:  # one may just have been opening
                    self._close()
                raise
        for done in going:
            done.result()

    def _close(self) -> None:
        with self._lock:
            going = list(self._open)
        for lane in going:
            lane.close()

    def _follow(self, lane: Lane, tasks: Sequence[T], do: Callable[[T], None]) -> None:
        with contextlib.closing(lane):
            with self._lock:
                self._open.add(lane)
            for task in tasks:
                do(task)
        with self._lock:
            self._open.discard(lane)
