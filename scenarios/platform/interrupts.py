"""Interrupts: each ends one switch, the current or the next one, and leaves the guest exactly where it was."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from worldswitch.harness.contract import Busy, Event, Interrupted, PlatformError, Released, Signal, WrongThread
from worldswitch.harness.verdict import in_time
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.stage import children
from worldswitch.scenarios.stage.children import Line, Namespace
from worldswitch.scenarios.stage.deaths import KILLED, cause_of, kill, wait_until_gone
from worldswitch.scenarios.stage.expected_errors import refused
from worldswitch.scenarios.stage.pacing import dice
from worldswitch.scenarios.stage.pid_reuse import a_stranger
from worldswitch.scenarios.stage.senders import waiting_for
from worldswitch.scenarios.stage.stage import Guest, Stage
from worldswitch.scenarios.stage.steady_guests import GETPID, Computing, makes_calls, outcome_of

#: What ``int3`` raises; its code is SI_KERNEL.
BREAKPOINT = Signal(signal.SIGTRAP, 0x80)


def comes_back_untouched(guest: Guest) -> None:
    """Switch to a guest whose context was interrupted: it does not run, and its state stays the same."""
    before, counted = bytes(guest.state.registers), guest.data.word()
    assert guest.switch() == Interrupted()
    assert guest.data.word() == counted, "the guest ran although its context had been interrupted"
    assert guest.state.registers == before, "the guest's registers changed although it did not run"


@scenario("IN01", clauses=("seed.switchToApp", "seed.Enable"), normal=10, soak=500)
def an_interrupt_before_a_switch_ends_it_at_once(stage: Stage) -> None:
    """A switch of an interrupted context returns without running the guest; the following switch runs it."""
    guest = stage.guest(guests.getpid_loop)

    def interrupt_and_switch() -> None:
        for _ in range(stage.trial.repeat):
            guest.context.interrupt()
            comes_back_untouched(guest)
            makes_calls(guest, 2)

    stage.bounded(interrupt_and_switch)


@scenario("IN02", clauses=("seed.Forwarder",), normal=10, soak=500)
def two_interrupts_before_a_switch_are_one(stage: Stage) -> None:
    """Several interrupts between two switches end only one switch."""
    guest = stage.guest(guests.getpid_loop)

    def interrupt_and_switch() -> None:
        for times in range(2, 2 + stage.trial.repeat):
            for _ in range(times):
                guest.context.interrupt()
            comes_back_untouched(guest)
            makes_calls(guest, 2)

    stage.bounded(interrupt_and_switch)


@scenario(
    "IN03", clauses=("seed.NotifyInterrupt", "seed.switchToApp", "test TestBounce"), quick=5, normal=20, soak=1000
)
def an_interrupt_ends_a_running_switch(stage: Stage) -> None:
    """An interrupt ends the switch of a computing guest within milliseconds, with exact registers."""
    guest = stage.guest(guests.count_loop)
    seconds = []
    for _ in range(stage.trial.repeat):
        with Computing(stage, guest) as computing:
            begin = time.monotonic()
            computing.ends_when_interrupted()
            seconds.append(time.monotonic() - begin)
    in_time(min(seconds) < stage.trial.seconds(0.05), f"the quickest of {len(seconds)} took {min(seconds):.3f} s")


@scenario(
    "IN03",
    clauses=(
        "seed.I8",
        "seed.Forwarder",
    ),
    normal=10,
    soak=200,
)
def an_interrupt_ends_only_its_own_contexts_switch(stage: Stage) -> None:
    """Of two guests that run in one address space, only the interrupted one returns."""
    first = stage.guest(guests.count_loop)
    second = stage.guest(guests.count_loop, space=first.space)
    with Computing(stage, first) as steady:
        for _ in range(stage.trial.repeat):
            with Computing(stage, second) as interrupted:
                interrupted.ends_when_interrupted()
            steady.computes_on("an interrupt of another context")
        steady.ends_when_interrupted()


@scenario("IN04", clauses="seed.SignalInterrupt", quick=200, normal=1000, soak=10_000, deadline=150)
def a_late_interrupt_does_not_hit_another_context(stage: Stage) -> None:
    """An interrupt that races with the end of its switch is no event of the next guest on that thread."""
    first = stage.guest(guests.getpid_loop)
    second = stage.guest(guests.getpid_loop, space=first.space)
    turn, random = threading.Semaphore(0), dice(stage)

    def interrupt() -> None:
        for _ in range(stage.trial.repeat):
            turn.acquire()
            time.sleep(random.uniform(0, 0.0002))
            first.context.interrupt()

    def switch_both() -> int:
        spurious = 0
        for _ in range(stage.trial.repeat):
            turn.release()
            while call_or_interrupt(first) == GETPID:
                spurious += call_or_interrupt(second) == Interrupted()
        return spurious

    interrupting = stage.thread(interrupt)
    spurious = stage.bounded(switch_both, 10 + stage.trial.repeat / 100)
    interrupting.result()
    stage.trial.note(f"{spurious} spurious interrupts of the second context")


def call_or_interrupt(guest: Guest) -> object:
    """Switch to a `getpid_loop` guest, which may only return with its call or interrupted."""
    event = outcome_of(lambda: guest.context.switch(guest.space, guest.state))
    assert event in (GETPID, Interrupted()), f"the guest returned {event}"
    assert guest.state["r12"] - guest.data.word() in (0, 1), "the guest lost count"
    return event


@scenario("IN06", clauses=("test TestBounceStress",), quick=100, normal=1000, soak=50_000, deadline=60)
def every_interrupt_at_a_random_moment_ends_a_switch(stage: Stage) -> None:
    """Each interrupt at a random moment of a computation ends one switch, and the computation stays exact."""
    with Computing(stage) as computing:
        computing.ends_when_interrupted()
    guest, random = computing.guest, dice(stage)
    begun = threading.Semaphore(0)

    def switch() -> None:
        for number in range(stage.trial.repeat):
            begun.release()
            event = outcome_of(lambda: guest.context.switch(guest.space, guest.state))
            assert event == Interrupted(), f"interrupt {number}: {event!r}"
            computing.is_exact()

    switching = stage.thread(switch)
    for number in range(stage.trial.repeat):
        in_time(begun.acquire(timeout=stage.trial.seconds(5)), f"interrupt {number} was lost: {number - 1} returned")
        for _ in range(random.randrange(200)):
            guest.data.word()
        guest.context.interrupt()
    switching.result()


# --------------------------------------------------------------------------------------------------------------- misuse


@scenario("IN05", clauses=("seed.Enable", "contract Context.interrupt"), normal=5, soak=100)
def an_interrupt_without_a_switch_to_end_harms_nobody(stage: Stage) -> None:
    """Interrupting a context of a released space or closed platform raises nothing, and its switches are refused."""
    for _ in range(stage.trial.repeat):
        platform = stage.trial.platform()
        guest = stage.guest(guests.getpid_loop, platform=platform)
        makes_calls(guest, 2)
        guest.space.release()
        for is_closed in (False, True):
            if is_closed:
                platform.close()
            assert outcome_of(guest.context.interrupt) is None, "an interrupt was refused"
            refused(guest.switch, Released)


@scenario("IN05", clauses=("seed.Enable", "contract Context.interrupt"), normal=5, soak=100)
def a_switch_that_is_refused_takes_no_interrupt(stage: Stage) -> None:
    """A refused switch does not use up an interrupt."""
    guest, gone = stage.guest(guests.getpid_loop), stage.space()
    gone.release()
    for _ in range(stage.trial.repeat):
        guest.context.interrupt()
        refused(lambda: guest.context.switch(gone, guest.state), Released)
        with pytest.raises((TypeError, PlatformError)):
            guest.context.switch(None, guest.state)  # type: ignore[arg-type]
        comes_back_untouched(guest)
        makes_calls(guest, 2)


@scenario("IN05", clauses=("seed.Enable", "contract Busy"), normal=5, soak=100)
def a_context_in_use_is_refused_and_undisturbed(stage: Stage) -> None:
    """While one thread switches a context, other threads can interrupt it but neither switch nor pull it."""
    for resident in (False, True) * stage.trial.repeat:
        with Computing(stage, stage.guest(guests.count_loop, resident=resident)) as computing:
            refused(computing.guest.switch, Busy)
            refused(computing.guest.context.pull, Busy)
            computing.computes_on("refused requests of other threads")
            computing.ends_when_interrupted()


@scenario("IN05", clauses=("fork(2)", "contract WrongThread"), normal=5, soak=100)
def an_interrupt_from_a_forked_child_is_refused(stage: Stage) -> None:
    """A forked child cannot interrupt its parent's context, and the parent's guest keeps running."""
    with Computing(stage) as computing:
        for _ in range(stage.trial.repeat):
            children.run(stage, lambda _: refused(computing.guest.context.interrupt, WrongThread), 10)
            computing.computes_on("a forked child's interrupt")
        computing.ends_when_interrupted()


@scenario("IN07", clauses=("gvisor f2d2ff78b", "fact.F5"), needs="pidns mountns ns_last_pid", normal=3, soak=50)
def an_interrupt_after_a_death_hits_no_stranger(stage: Stage) -> None:
    """Interrupts of a context whose stub died reach no process that reuses its ids."""
    for _ in range(stage.trial.repeat):
        children.run(stage, partial(_interrupt_the_recycled, stage), 15, Namespace.PID)


def _interrupt_the_recycled(stage: Stage, _: Line) -> None:
    with Computing(stage) as computing:
        pid, tid = computing.pid, computing.tid
        kill(pid)
        assert cause_of(computing.running.result) == KILLED
    wait_until_gone(stage, pid)
    with a_stranger(stage, pid, tid):
        for _again in range(10):
            computing.guest.context.interrupt()
        assert not waiting_for(pid), f"process {pid}, which is unrelated, got signals {waiting_for(pid)}"


# ----------------------------------------------------------------------------------------------------- at the same time


@scenario("K34", clauses=("kernel.S5", "seed.switchToApp"), quick=20, normal=200, soak=10_000, deadline=60)
def an_interrupt_and_a_trap_at_once_are_both_seen(stage: Stage) -> None:
    """A guest's trap and a simultaneous interrupt are one event each, in either order."""
    guest = stage.guest(guests.trap_when_told)
    for _ in range(stage.trial.repeat):
        guest.state.pc, spun = guest.code, guest.data.word(8)
        for offset in (0, 16):
            guest.data.set_word(offset, 0)
        switching = stage.thread(switches_to_the_end, guest)
        stage.wait_until(lambda: guest.data.word(8) > spun, claim="the guest waits for its trap flag")  # noqa: B023
        guest.data.set_word(0, 1)
        spin_until(stage, lambda: guest.data.word(16))
        guest.context.interrupt()
        events = switching.result(3)
        assert [event for event in events if event != Interrupted()][:2] == [BREAKPOINT, GETPID]
        assert (events.count(BREAKPOINT), events.count(Interrupted())) == (1, 1), f"one event was lost: {events}"


def spin_until(stage: Stage, predicate: Callable[[], object]) -> None:
    """Wait without releasing the interpreter's lock, so that no other thread overtakes this one."""
    end = time.perf_counter() + stage.trial.seconds(3)
    while not predicate():
        in_time(time.perf_counter() < end, "the guest makes no progress")


def switches_to_the_end(guest: Guest) -> list[Event]:
    """Switch until the guest has made its call and was interrupted; all events."""
    events: list[Event] = []
    while GETPID not in events or Interrupted() not in events:
        events.append(guest.context.switch(guest.space, guest.state))
    return events
