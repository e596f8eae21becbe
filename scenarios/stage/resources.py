"""What a process has of everything that an operation may leave behind, before and after many of them."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from worldswitch.harness.verdict import OutOfTime
from worldswitch.scenarios.stage.processes import descendants_of, mappings_of, status_of, threads_of
from worldswitch.scenarios.stage.stage import PAGE, Stage

#: More mappings and memory (in kB) than this are a leak; the allocator takes both in large pieces.
MORE_MAPPINGS, MORE_MEMORY = 64, 8 << 10

#: Bytes of the C heap that caches may take once, and for each repetition.
MORE_HEAP, HEAP_EACH = 128 << 10, 48

#: Memory in kB that Python and pytest keep of a thread that did not return: frames and an exception.
FRAMES = 20

#: Seconds in which the platform's own threads forget what is over.
PATIENCE = 1.0

#: Repetitions before the first count, which fill caches.
WARM_UP = 3

libc = ctypes.CDLL(None)

_MALLINFO = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()  # <malloc.h>


class _Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in _MALLINFO]


@dataclass(frozen=True, slots=True)
class Resources:
    """The threads and open files of this process, and the threads of its descendants, zombies included."""

    threads: int
    below: int
    files: int

    @classmethod
    def now(cls) -> Resources:
        """The present ones, after a garbage collection."""
        gc.collect()
        below = sum(len(threads_of(pid)) for pid in descendants_of(os.getpid()))
        return cls(len(threads_of(os.getpid())), below, sum(1 for _ in Path("/proc/self/fd").iterdir()))

    def is_within(self, other: Resources) -> bool:
        """Whether there is no more of anything than in `other`."""
        return self.threads <= other.threads and self.below <= other.below and self.files <= other.files


class Baseline:
    """What this process had, to compare with."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._before = Resources.now()
        self._objects, self._code = _objects(), _pages_of_code()
        self._heap = _heap()
        self._mappings, self._memory = _room()

    def is_unchanged(self, allowance: int = 0, times: int = 0) -> None:
        """Check that nothing is gone and nothing new is left, within an allowance of memory in kB.

        With `times`, the number of repetitions, check also that no object and no code was left by each of them.
        """
        self._has_no_more_tasks_and_files()
        if times:
            assert not self.has_grown(times), f"more after {times} times: {self._grown(times)}"
        mappings, memory = _room()
        self._stage.trial.note(f"{mappings - self._mappings} more mappings, {memory - self._memory} kB more memory")
        assert mappings <= self._mappings + MORE_MAPPINGS + allowance // FRAMES, (
            f"from {self._mappings} mappings to {mappings}"
        )
        assert memory <= self._memory + MORE_MEMORY + allowance, f"from {self._memory} kB to {memory} kB"

    def _has_no_more_tasks_and_files(self) -> None:
        stage, last = self._stage, [self._before]

        def is_no_more() -> bool:
            last[0] = Resources.now()
            return last[0].is_within(self._before)

        try:
            stage.wait_until(is_no_more, 5)
        except OutOfTime:
            raise OutOfTime(f"before: {self._before}; now: {last[0]}") from None

    def has_grown(self, times: int) -> bool:
        """Whether anything has grown with each of `times` repetitions or with every other one, and stays so."""
        try:
            self._stage.wait_until(lambda: not self._grown(times), PATIENCE)
        except AssertionError:
            return True
        return False

    def _grown(self, times: int) -> dict[str, int]:
        gc.collect()
        counts = _objects()
        counts.subtract(self._objects)
        counts["pages of code"] = _pages_of_code() - self._code
        heap = _heap() - self._heap
        counts["bytes of heap"] = 0 if heap <= MORE_HEAP + HEAP_EACH * times else heap
        return {what: more for what, more in counts.items() if more > times // 2}


def leave_nothing(stage: Stage, operation: Callable[[], object], times: int, allowance: int = 0) -> None:
    """Check that `operation`, made `times` times, leaves nothing behind."""
    for _ in range(WARM_UP):
        operation()
    Baseline(stage).is_unchanged(allowance, sys.maxsize)  # what the comparison itself makes
    for last in (False, True):  # what is kept once is gone in the second round
        baseline = Baseline(stage)
        for _ in range(times):
            operation()
        if last or not baseline.has_grown(times):
            baseline.is_unchanged(allowance, times)
            return


def _objects() -> Counter[str]:
    """The living Python objects that the collector knows, by type."""
    return Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects())


def _heap() -> int:
    """The bytes that are allocated on the C heap; 0 where the C library does not tell."""
    mallinfo = getattr(libc, "mallinfo2", None)  # glibc 2.33
    if mallinfo is None:
        return 0
    mallinfo.restype = _Mallinfo
    return int(mallinfo().uordblks)


def _pages_of_code() -> int:
    """The pages of executable mappings, such as a stub's."""
    code = (one for one in mappings_of(os.getpid()) if "x" in one.permissions)
    return sum(one.end - one.begin for one in code) // PAGE


def _room() -> tuple[int, int]:
    return len(mappings_of(os.getpid())), int(status_of(os.getpid(), "RssAnon").split()[0])
