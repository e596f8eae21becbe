"""Leaks: after thousands of threads, stubs and releases, this process has what it had before."""

from __future__ import annotations

import gc
import os
import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from worldswitch.harness.contract import Platform, Syscall
from worldswitch.harness.verdict import OutOfTime
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage.deaths import KILLED, cause_of, kill, stub_of
from worldswitch.scenarios.stage.processes import descendants_of, mappings_of, status_of, threads_of
from worldswitch.scenarios.stage.stage import Guest, Stage
from worldswitch.scenarios.stage.steady_guests import counts
from worldswitch.scenarios.stage.thread_exits import ORDINARY, by_returning, depart

#: More mappings and memory (in kB) than this are a leak; the allocator takes both in large pieces.
MORE_MAPPINGS, MORE_MEMORY = 64, 8 << 10

#: Memory in kB that Python and pytest keep of a thread that did not return: frames and an exception.
FRAMES = 20


@dataclass(frozen=True, slots=True)
class Resources:
    """The threads and open files of this process, and the threads of its descendants."""

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
        self._mappings, self._memory = self._room()

    def is_unchanged(self, allowance: int = 0) -> None:
        """Check that nothing is gone and nothing new is left, within an allowance of memory in kB."""
        stage, last = self._stage, [self._before]

        def is_no_more() -> bool:
            last[0] = Resources.now()
            return last[0].is_within(self._before)

        try:
            stage.wait_until(is_no_more, 5)
        except OutOfTime:
            raise OutOfTime(f"before: {self._before}; now: {last[0]}") from None
        mappings, memory = self._room()
        stage.trial.note(f"{mappings - self._mappings} more mappings, {memory - self._memory} kB more memory")
        assert mappings <= self._mappings + MORE_MAPPINGS + allowance // FRAMES, (
            f"from {self._mappings} mappings to {mappings}"
        )
        assert memory <= self._memory + MORE_MEMORY + allowance, f"from {self._memory} kB to {memory} kB"

    def _room(self) -> tuple[int, int]:
        return len(mappings_of(os.getpid())), int(status_of(os.getpid(), "RssAnon").split()[0])


@scenario("TT01", "TT06", clauses=("seed.W2", "gvisor#1333"), quick=9, normal=60, soak=10_000, deadline=300)
def tracing_threads_end_by_the_thousand_and_leave_nothing(stage: Stage) -> None:
    """Thousands of tracing threads that return, raise or call pthread_exit lose no count and leak nothing."""
    guest = stage.guest(guests.vector_loop)
    for turn, ending in enumerate(ORDINARY):
        depart(stage, partial(_step, guest, turn), ending)
    pid, count = stub_of(stage, guest.space), len(ORDINARY)
    for ending in ORDINARY:
        baseline = Baseline(stage)
        for _ in range(stage.trial.repeat // len(ORDINARY)):
            depart(stage, partial(_step, guest, count), ending)
            count += 1
        baseline.is_unchanged(stage.trial.repeat * FRAMES if ending is not by_returning else 0)
    assert stub_of(stage, guest.space) == pid


@scenario(
    "PO08",
    "K76",
    clauses=("seed.W15", "seed.W5", "gvisor#12209"),
    quick=4,
    normal=20,
    soak=3400,
    deadline=600,
)
def stubs_come_and_go_by_the_thousand_and_leave_nothing(stage: Stage) -> None:
    """Thousands of address spaces that are released, or whose stubs are killed, leak nothing."""
    platform = stage.platform_with(pool_limit=1)
    for _ in range(2):
        _live_and_die(stage, platform)
    baseline = Baseline(stage)
    for _ in range(stage.trial.repeat):
        _live_and_die(stage, platform)
    baseline.is_unchanged()


@scenario("TT11", clauses=("gvisor#3942", "seed.lookupOrCreate"), quick=4, normal=8, soak=64, deadline=60)
def stub_threads_are_bounded_by_tracing_threads(stage: Stage) -> None:
    """A stub has at most two threads for each of its tracing threads that were alive at once."""
    tracers = stage.trial.repeat
    three = [stage.guest(guests.getpid_loop) for _ in range(tracers // 4 + 1)]
    pids = [stub_of(stage, guest.space) for guest in three]
    before = [len(threads_of(pid)) for pid in pids]
    for wave in range(2):
        _trace_all_at_once(stage, three, tracers)
        growth = [len(threads_of(pid)) - count for pid, count in zip(pids, before, strict=True)]
        assert max(growth) <= 2 * tracers, f"wave {wave}: {tracers} tracing threads made {growth} threads"
    assert [guest.state["r12"] for guest in three] == [2 * tracers - 1] * len(three)


# --------------------------------------------------------------------------------------------------------------- pieces


def _step(guest: Guest, count: int) -> None:
    """Run the guest to one more system call, and check its count."""
    assert guest.switch() == Syscall(Number.GETPID)
    assert counts(guest) == (count + 1,) * 3


def _live_and_die(stage: Stage, platform: Platform) -> None:
    """Make three address spaces; release one into the pool, release one beyond it, and kill the third one's stub."""
    own = Stage(stage.trial)  # a stage keeps everything it made alive
    three = [own.guest(guests.getpid_loop, platform=platform) for _ in range(3)]
    for guest in three:
        guest.syscalls(2)
    killed, *others = three
    kill(stub_of(stage, killed.space))
    assert cause_of(killed.switch) == KILLED
    for guest in others:
        guest.space.release()


def _trace_all_at_once(stage: Stage, three: list[Guest], tracers: int) -> None:
    """Run every guest in each of several threads, all alive at once, and wait for the threads' end."""
    turns = [threading.Lock() for _ in three]
    everybody = threading.Barrier(tracers)
    tids: set[int] = set()

    def trace() -> None:
        tids.add(threading.get_native_id())
        for guest, turn in zip(three, turns, strict=True):
            with turn:
                guest.syscalls(1)
                stage.map(guest.space, guest.data, address=guest.data_address)
        everybody.wait(stage.trial.seconds(20))

    for thread in [stage.thread(trace) for _ in range(tracers)]:
        thread.result(20)
    stage.wait_until(lambda: not tids & threads_of(os.getpid()).keys(), 5, "the tracing threads are gone")
