"""Keeps tracing threads on one CPU (`Placement.PIN`) until the platform is closed."""

from __future__ import annotations

import os
from contextlib import suppress

from worldswitch.reference._core import lib
from worldswitch.reference.locks import Lock
from worldswitch.reference.tracing_threads import TracingThread


class CpuPinning:
    """The threads that are pinned, and where they could run before."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._masks: dict[TracingThread, set[int]] = {}
        self._is_over = False

    def pin(self) -> None:
        """Keep the calling thread on the CPU it is on, unless it is pinned already, or the platform closed."""
        thread = TracingThread.current()
        with self._lock:
            if thread not in self._masks and not self._is_over:
                self._masks[thread] = os.sched_getaffinity(0)
                os.sched_setaffinity(0, {lib.current_cpu()})

    def unpin(self) -> None:
        """Give the pinned threads that still exist their CPUs back; nothing is pinned afterwards.

        sched_setaffinity takes a bare thread id, which may be given out again after the look.  To hit another thread,
        the kernel's ids would have to go once round in that moment.
        """
        with self._lock:
            self._is_over = True
            masks, self._masks = self._masks, {}
        for thread, cpus in masks.items():
            if not thread.has_vanished(thoroughly=True):
                _set_affinity(thread.tid, cpus)


def _set_affinity(tid: int, cpus: set[int]) -> None:
    """Set where a thread may run; one that has just ended, or whose CPUs are gone, is left as it is."""
    with suppress(OSError):
        os.sched_setaffinity(tid, cpus)
