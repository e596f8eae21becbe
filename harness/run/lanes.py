"""Runs cells in lanes: those that share a machine run one after the other, lanes run in parallel.

Cells without a lane use this whole machine: they run first, one after the other.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from worldswitch.harness.environments.protocol import Lane

T = TypeVar("T")


class Lanes:
    """The lanes of one run; `interrupted` is True if no more cells may start."""

    def __init__(self, width: int) -> None:
        """Run at most `width` lanes in parallel."""
        self._width = width
        self._open: set[Lane] = set()
        self._lock = threading.Lock()
        self._started = threading.Event()
        self.interrupted = False

    def run(self, tasks: Sequence[tuple[Lane | None, T]], do: Callable[[T], None]) -> None:
        """Pass each task to `do`: those without a lane in this thread, then each lane's in order in its own thread.

        On KeyboardInterrupt all lanes are closed, which ends their current tasks; the remaining ones still go to `do`.
        """
        for lane, task in tasks:
            if lane is None:
                do(task)
        lanes = list(dict.fromkeys(lane for lane, _ in tasks if lane))
        with ThreadPoolExecutor(self._width, thread_name_prefix="lane") as pool:
            running: list[Future[None]] = []
            try:
                with contextlib.ExitStack() as submitting:
                    submitting.callback(self._started.set)
                    for lane in lanes:
                        own = [task for its, task in tasks if its is lane]
                        running.append(pool.submit(self._follow, lane, own, do))
                wait(running)
            except KeyboardInterrupt:
                self.interrupted = True
                self._close()
                while wait(running, timeout=0.5).not_done:  # a lane may have opened since
                    self._close()
                raise
        for future in running:
            future.result()

    def _close(self) -> None:
        with self._lock:
            lanes = list(self._open)
        for lane in lanes:
            lane.close()

    def _follow(self, lane: Lane, tasks: Sequence[T], do: Callable[[T], None]) -> None:
        self._started.wait()  # an interrupt that a task raises must not hit submit()
        with contextlib.closing(lane):
            with self._lock:
                self._open.add(lane)
            for task in tasks:
                do(task)
        with self._lock:
            self._open.discard(lane)
