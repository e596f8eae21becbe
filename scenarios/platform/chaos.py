"""Chaos: a nemesis strikes at running guests by drawn schedules, and every guest's counts must stay exact.

A failing schedule is shortened and printed, a line a strike; ``--seed`` draws the same schedules again.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import signal
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import cast

from worldswitch.harness.contract import AddressSpace, HostError, Interrupted, Platform
from worldswitch.harness.verdict import OutOfTime, in_time
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.stage import children
from worldswitch.scenarios.stage.chaos.nemesis import (
    AT,
    DEATHS,
    DELAYS,
    DEPARTURES,
    DISTURBANCES,
    DURING,
    MAPPINGS,
    VANISHINGS,
    Moment,
    Operation,
    Schedule,
    account_of,
    schedules,
)
from worldswitch.scenarios.stage.chaos.schedule_runner import BOUND, ScheduleRunner
from worldswitch.scenarios.stage.chaos.search import Search
from worldswitch.scenarios.stage.deaths import KILLED, cause_of, kill, stub_of
from worldswitch.scenarios.stage.exhaustion import become_nobody, no_descriptors, no_processes
from worldswitch.scenarios.stage.processes import descendants_of, threads_of
from worldswitch.scenarios.stage.senders import SignalSender
from worldswitch.scenarios.stage.stage import Stage
from worldswitch.scenarios.stage.steady_guests import outcome_of
from worldswitch.scenarios.stage.stepped_threads import within

#: The platform's pool limit, and the most seconds of a search.
KEPT = 4
SECONDS = 600.0


class ChaosRun:
    """Runs schedules on one platform, which is replaced after a failure."""

    def __init__(self, stage: Stage, other: SignalSender, *, resident: bool) -> None:
        self._stage = stage
        self._other = other
        self._resident = resident
        self._platform: Platform | None = None
        self._threads = self._files = 0

    def perform(self, schedule: Schedule) -> None:
        """Run a schedule, and check that nothing is left of it."""
        platform = self._opened()
        try:
            with ScheduleRunner(self._stage, platform, self._other, resident=self._resident) as runner:
                runner.perform(schedule)
                runner.release_all()
            del runner
            self._nothing_is_left()
        except BaseException:
            self._abandon(platform)
            raise

    def _opened(self) -> Platform:
        if self._platform is None:
            self._platform = self._stage.platform_with(pool_limit=KEPT)
            self._load_programs()
            gc.collect()
            self._threads, self._files = len(threads_of(os.getpid())), _open_files()
        return self._platform

    def _load_programs(self) -> None:
        """Map each program once, so that the stage opens no further files."""
        assert self._platform
        space = self._platform.new_address_space()
        for program in (guests.gate_loop, guests.account_loop):
            self._stage.load(program, space)
        space.release()

    def _nothing_is_left(self) -> None:
        gc.collect()
        self._becomes("threads", lambda: len(threads_of(os.getpid())), self._threads)
        self._becomes("open files", _open_files, self._files)
        self._becomes("processes", self._processes, KEPT)

    def _becomes(self, what: str, count: Callable[[], int], most: int) -> None:
        fits = within(self._stage, BOUND, lambda: count() <= most)
        in_time(fits, f"{count()} {what} are left, expected at most {most}")

    def _processes(self) -> int:
        """The number of our descendants, dead or alive, without the sender."""
        return len(descendants_of(os.getpid()) - {self._other.pid})

    def _abandon(self, platform: Platform) -> None:
        """Close a platform after a failure; killing its stubs ends a switch that hangs."""
        self._platform = None
        for pid in descendants_of(os.getpid()) - {self._other.pid}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(Exception):
            self._stage.bounded(platform.close)


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def survive(
    stage: Stage, operations: Sequence[Operation], moments: tuple[Moment, ...] = (*Moment,), *, resident: bool = False
) -> None:
    """Run as many schedules of these operations as the trial repeats; none may fail."""
    stage.inspect(stage.space())  # skips a platform without `Inspectable`: there are no stubs to strike at
    stage.platform.close()
    with SignalSender() as other:
        search = Search(ChaosRun(stage, other, resident=resident).perform, stage.trial.seconds(SECONDS))
        failing = search.go(schedules(operations, moments), stage.trial.seed, stage.trial.repeat)
    stage.trial.note(f"{search.performed} schedules were performed")
    if failing is not None:
        error = search.failures[failing]
        kind = OutOfTime if isinstance(error, OutOfTime) else AssertionError
        raise kind(f"{type(error).__name__}: {error}\nafter\n{account_of(failing)}") from error


@scenario(
    "CH01",
    clauses=("seed.switchToApp", "seed.W8", "test TestBounceStress"),
    quick=4,
    normal=25,
    soak=5000,
    deadline=700,
)
def signals_and_stops_never_change_what_a_guest_computes(stage: Stage) -> None:
    """Signals, stops, interrupts and moves between CPUs, at any point of an event, never change a guest's counts."""
    survive(stage, (*DISTURBANCES, *DELAYS))


@scenario("CH02", clauses=("seed.W3", "seed.W4", "gvisor 16dba7fa7"), quick=4, normal=25, soak=5000, deadline=700)
def deaths_hit_exactly_those_they_are_meant_for(stage: Stage) -> None:
    """A killed stub is a typed death for every guest in it and for no other guest."""
    survive(stage, (*DEATHS, *DISTURBANCES))


@scenario("CH03", clauses=("seed.lookupOrCreate", "seed.W1", "kernel.D5"), quick=4, normal=25, soak=5000, deadline=700)
def tracing_threads_come_and_go(stage: Stage) -> None:
    """Threads that end, vanish or hand guests over, under foreign signals, never change a guest's counts."""
    survive(stage, (*DEPARTURES, *VANISHINGS, *DISTURBANCES), (AT, DURING), resident=stage.trial.seed % 2 == 0)


@scenario(
    "CH04", clauses=("seed.switchToApp", "seed.Release", "seed.W15"), quick=3, normal=30, soak=10_000, deadline=700
)
def everything_at_once(stage: Stage) -> None:
    """Signals, deaths, exits, mappings, releases and new guests in one schedule never break the contract."""
    survive(stage, (*DISTURBANCES, *DEATHS, *DEPARTURES, *VANISHINGS, *MAPPINGS, *DELAYS))


@scenario(
    "CH05", clauses=("contract HostError", "getrlimit(2) RLIMIT_NOFILE"), quick=3, normal=10, soak=300, deadline=120
)
def without_file_descriptors_everybody_lives_on(stage: Stage) -> None:
    """With no file descriptor free, an operation that needs one raises a typed error and guests keep running."""
    guest = stage.guest(guests.account_loop)
    guest.syscalls(2)
    for _ in range(stage.trial.repeat):
        with no_descriptors():
            stage.bounded(partial(guest.syscalls, 5))
            stage.bounded(partial(_ask_for_more, stage, None, errno.EMFILE))
            guest.syscalls(5)
            guest.context.interrupt()
            assert guest.switch() == Interrupted()
        guest.syscalls(1)
        stage.guest(guests.account_loop).syscalls(2)
    calls = 2 + 11 * stage.trial.repeat
    assert (guest.state["r12"], guest.data.word(), guest.data.word(16)) == (calls,) * 3


@scenario(
    "CH09",
    clauses=("contract HostError", "clone(2) EAGAIN", "getrlimit(2) RLIMIT_NPROC"),
    needs="nproc",
    quick=2,
    normal=5,
    soak=60,
    deadline=120,
)
def without_processes_everybody_lives_on(stage: Stage) -> None:
    """With no process or thread available, an operation that needs one raises a typed error and guests keep running."""
    for _ in range(stage.trial.repeat):
        assert children.run(stage, lambda _: _live_alone(stage), 20) == 8


def _live_alone(stage: Stage) -> int:
    """Ask for what cannot be made, as an ordinary user; the count of a guest that runs throughout."""
    become_nobody()
    guest, killed = stage.guest(guests.account_loop), stage.guest(guests.getpid_loop)
    guest.syscalls(2)
    killed.syscalls(1)
    with no_processes(os.getpid()):
        _ask_for_more(stage, guest.platform, errno.EAGAIN)
        kill(stub_of(stage, killed.space))
        assert cause_of(killed.switch) == KILLED  # in an existing thread: a bound would need a new one
        guest.syscalls(3)
        guest.context.interrupt()
        assert guest.switch() == Interrupted()
    _ask_for_more(stage, guest.platform)
    stage.guest(guests.account_loop, platform=guest.platform).syscalls(2)
    guest.syscalls(3)
    assert (guest.data.word(), guest.data.word(16)) == (8, 8)
    guest.platform.close()
    return guest.state["r12"]


def _ask_for_more(stage: Stage, platform: Platform | None = None, *errors: int) -> None:
    """Ask for more address spaces than are kept: each is given or refused with one of `errors`, and can be released."""
    for _ in range(KEPT):
        outcome = outcome_of(partial(stage.space, platform))
        if isinstance(outcome, Exception):
            assert isinstance(outcome, HostError), f"with the resource exhausted: {outcome!r}"
            assert outcome.errno in errors, f"with the resource exhausted: {outcome!r}"
        else:
            cast(AddressSpace, outcome).release()
