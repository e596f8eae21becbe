"""Interleavings: one operation is held at each of its steps while another runs; both must satisfy the contract."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from worldswitch.harness.contract import Busy, Event, Interrupted, Released
from worldswitch.harness.verdict import in_time
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.stage.chaos.accounting_guests import AccountingGuest, Home
from worldswitch.scenarios.stage.senders import SignalSender
from worldswitch.scenarios.stage.stage import Stage
from worldswitch.scenarios.stage.steady_guests import GETPID
from worldswitch.scenarios.stage.stepped_threads import Hold, SteppedThread, Task, within
from worldswitch.scenarios.stage.thread_exits import by_returning

#: Seconds within which an operation must end, and to wait for something that may wait for a held thread.
BOUND, GRACE = 3.0, 0.02

#: More steps than any operation has.
MOST = 1000


class Meeting:
    """Two guests in one address space, and threads to run operations in."""

    def __init__(self, stage: Stage, other: SignalSender) -> None:
        self.stage = stage
        self.other = other
        self.platform = stage.platform
        self.home = Home(stage, self.platform)
        self.target, self.sibling = (
            AccountingGuest(stage, self.platform, self.home, number, resident=False) for number in range(2)
        )
        self.first, self.second = SteppedThread(), SteppedThread()

    def hold(self, step: int) -> Hold:
        """A hold of a thread at its `step`-th step."""
        return Hold(self.platform, step)

    def result(self, task: Task, what: str) -> object:
        """The outcome of a task, in time."""
        return task.outcome(self.stage, BOUND, what)

    def makes_a_call(self, target: AccountingGuest, thread: SteppedThread) -> None:
        """Check that the guest reaches its next event, with exact counts."""
        target.open_gate()
        for _ in range(3):
            outcome = self.result(target.switch(thread), f"a switch to {target}")
            if outcome != Interrupted():  # one spurious interrupt is allowed
                break
        assert outcome == GETPID, f"{target} returned {outcome!r}"
        target.answer()

    def runs(self, target: AccountingGuest, task: Task, hold: Hold | None = None) -> None:
        """Wait until a guest with a closed gate makes progress, is held or has returned."""
        before = target.progress
        moved = within(
            self.stage,
            BOUND,
            lambda: target.progress != before or task.is_over or (hold is not None and hold.is_reached),
        )
        in_time(moved, f"{target} neither runs nor returns within {BOUND} s")

    def meanwhile(self, task: Task, target: AccountingGuest | None = None) -> None:
        """Wait a little for the task to end or the guest to run; it may have to wait for a held thread."""
        before = target.progress if target else 0
        within(self.stage, GRACE, lambda: task.is_over or (target is not None and target.progress != before))


@contextmanager
def meeting(stage: Stage) -> Iterator[Meeting]:
    """A meeting, ended with the block."""
    stage.inspect(stage.space()).stub  # noqa: B018 - skips a platform without `Inspectable`
    with SignalSender() as other:
        made = Meeting(stage, other)
        try:
            yield made
        finally:
            for target in (made.target, made.sibling):
                target.open_gate()
        for thread in (made.first, made.second):
            thread.end(stage, by_returning)


def at_each_step(stage: Stage, meet: Callable[[int], Hold]) -> None:
    """Run two operations with one held at the first step, the second, and so on, until no step is left."""
    for _ in range(stage.trial.repeat):
        for step in range(1, MOST):
            hold = meet(step)
            if not hold.is_reached:
                stage.trial.note(f"met at {step - 1} steps")
                break


# ----------------------------------------------------------------------------------------------------------- interrupts


@scenario("CH06", clauses=("seed.Enable", "seed.switchToApp"), quick=1, normal=1, soak=100, deadline=120)
def an_interrupt_at_any_step_of_a_switch_ends_it(stage: Stage) -> None:
    """An interrupt at any step of a switch ends that switch."""
    with meeting(stage) as scene:
        for prepare in (_none, _sibling_goes_first):
            at_each_step(stage, partial(_interrupt_a_held_switch, scene, prepare))


def _none(scene: Meeting) -> None:
    """The thread's last switch was to the same guest."""


def _sibling_goes_first(scene: Meeting) -> None:
    """The thread's last switch was to another guest."""
    scene.makes_a_call(scene.sibling, scene.first)


def _interrupt_a_held_switch(scene: Meeting, prepare: Callable[[Meeting], None], step: int) -> Hold:
    target, hold = scene.target, scene.hold(step)
    prepare(scene)
    target.close_gate()
    task = target.switch(scene.first, hold)
    scene.runs(target, task, hold)
    if not hold.is_reached:
        scene.other.kill(scene.home.pid, signal.SIGUSR2)
        within(scene.stage, GRACE, lambda: hold.is_reached)
    target.guest.context.interrupt()
    outcome = scene.result(task, f"a switch that was interrupted, held at {hold.place or 'no step'}")
    assert outcome == Interrupted(), f"interrupted, held at {hold.place or 'no step'}: {outcome!r}"
    scene.makes_a_call(target, scene.first)
    return hold


@scenario("CH06", clauses=("seed.Forwarder",), quick=1, normal=3, soak=100, deadline=120)
def a_switch_that_begins_at_any_step_of_an_interrupt_is_ended(stage: Stage) -> None:
    """A switch that begins at any step of an interrupt is ended by it."""
    with meeting(stage) as scene:
        for runs_before in (False, True):
            at_each_step(stage, partial(_switch_in_a_held_interrupt, scene, runs_before))


def _switch_in_a_held_interrupt(scene: Meeting, runs_before: bool, step: int) -> Hold:
    target, hold = scene.target, scene.hold(step)
    target.close_gate()
    begun = target.switch(scene.first) if runs_before else None
    if begun:
        scene.runs(target, begun)
    interrupting = scene.second.run(target.guest.context.interrupt, hold)
    within(scene.stage, BOUND, lambda: hold.is_reached or interrupting.is_over)
    task = begun or target.switch(scene.first)
    scene.meanwhile(task, target)
    assert scene.result(interrupting, "interrupt") is None
    outcome = scene.result(task, f"a switch that began while an interrupt was held at {hold.place or 'no step'}")
    assert outcome == Interrupted(), f"it began while an interrupt was held at {hold.place}: {outcome!r}"
    scene.makes_a_call(target, scene.first)
    return hold


# ------------------------------------------------------------------------------------------------------------- releases


@scenario("CH07", clauses=("gvisor f01bf248c", "seed.Release"), quick=1, normal=2, soak=60, deadline=120)
def a_switch_that_begins_at_any_step_of_a_release(stage: Stage) -> None:
    """At any step of a release that meets a switch, either the release or the switch is refused."""
    with meeting(stage) as scene:
        at_each_step(stage, partial(_switch_in_a_held_release, scene))


def _switch_in_a_held_release(scene: Meeting, step: int) -> Hold:
    target, hold = scene.target, scene.hold(step)
    scene.makes_a_call(target, scene.first)
    target.close_gate()
    releasing = scene.second.run(scene.home.space.release, hold)
    within(scene.stage, BOUND, lambda: hold.is_reached or releasing.is_over)
    task = target.switch(scene.first)
    scene.meanwhile(task, target)
    _keep_their_word(scene, task, scene.result(releasing, "a release"), hold)
    return hold


@scenario("CH07", clauses=("gvisor f01bf248c", "seed.Release"), quick=1, normal=2, soak=60, deadline=120)
def a_release_at_any_step_of_a_switch(stage: Stage) -> None:
    """At any step of a switch that meets a release, either the release or the switch is refused."""
    with meeting(stage) as scene:
        for prepare in (_none, _sibling_goes_first):
            at_each_step(stage, partial(_release_in_a_held_switch, scene, prepare))


def _release_in_a_held_switch(scene: Meeting, prepare: Callable[[Meeting], None], step: int) -> Hold:
    target, hold = scene.target, scene.hold(step)
    scene.makes_a_call(target, scene.first)
    prepare(scene)
    target.close_gate()
    task = target.switch(scene.first, hold)
    scene.runs(target, task, hold)
    releasing = scene.second.run(scene.home.space.release)
    scene.meanwhile(releasing)
    hold.release()
    _keep_their_word(scene, task, scene.result(releasing, "a release"), hold)
    return hold


def _keep_their_word(scene: Meeting, task: Task, released: object, hold: Hold) -> None:
    """Check that the switch was refused if the release was granted, and ran otherwise."""
    target, where = scene.target, f"held at {hold.place or 'no step'}"
    assert released is None or isinstance(released, Busy), f"a release {where} gave {released!r}"
    target.open_gate()
    outcome = scene.result(task, f"a switch during a release, {where}")
    if released is None:
        assert isinstance(outcome, Released), f"a switch in a released address space, {where}, gave {outcome!r}"
        scene.home.rebuild()
    else:
        assert outcome == GETPID, f"a switch after a refused release, {where}, gave {outcome!r}"
        target.answer()


@scenario("CH07", clauses=("gvisor f01bf248c", "seed.Release"), normal=2, soak=60, deadline=120)
def a_refused_release_is_nothing_to_anybody(stage: Stage) -> None:
    """At any step of a release that is refused since one guest runs, a switch to another guest works."""
    with meeting(stage) as scene:
        scene.sibling.close_gate()
        task = scene.sibling.switch(scene.second)
        scene.runs(scene.sibling, task)
        third = SteppedThread()
        at_each_step(stage, partial(_switch_in_a_refused_release, scene, third))
        scene.sibling.open_gate()
        assert scene.result(task, "the guest that ran all the time") == GETPID
        third.end(stage, by_returning)


def _switch_in_a_refused_release(scene: Meeting, third: SteppedThread, step: int) -> Hold:
    hold = scene.hold(step)
    releasing = third.run(scene.home.space.release, hold)
    within(scene.stage, BOUND, lambda: hold.is_reached or releasing.is_over)
    scene.target.open_gate()
    task = scene.target.switch(scene.first)
    scene.meanwhile(task)
    released = scene.result(releasing, "a release")
    assert isinstance(released, Busy), f"a release while a guest runs: {released!r}"
    outcome = scene.result(task, "a switch while a release is refused")
    assert outcome == GETPID, f"a switch while a release is refused, held at {hold.place or 'no step'}: {outcome!r}"
    scene.target.answer()
    return hold


# -------------------------------------------------------------------------------------------------- concurrent requests


@scenario("CH08", clauses=("seed.newSubprocess", "seed.W15", "gvisor da6ddd1df"), normal=2, soak=60, deadline=120)
def two_threads_that_ask_at_once_get_two_address_spaces(stage: Stage) -> None:
    """Two threads that make address spaces at the same time, at any step, get different processes."""
    with meeting(stage) as scene:
        for space in [stage.space() for _ in range(3)]:
            space.release()
        at_each_step(stage, partial(_ask_twice, scene))


def _ask_twice(scene: Meeting, step: int) -> Hold:
    hold = scene.hold(step)
    asked = scene.first.run(scene.platform.new_address_space, hold)
    within(scene.stage, BOUND, lambda: hold.is_reached or asked.is_over)
    again = scene.second.run(scene.platform.new_address_space)
    scene.meanwhile(again)
    hold.release()
    spaces = [scene.result(task, "a new address space") for task in (asked, again)]
    refused = [space for space in spaces if isinstance(space, Exception)]
    assert not refused, f"two new address spaces, one held at {hold.place}: {refused}"
    pids = [scene.stage.inspect(space).stub.pid for space in spaces]  # type: ignore[arg-type]
    assert len(set(pids)) == 2, f"both are process {pids[0]}, where one was held at {hold.place}"
    for space in spaces:
        space.release()  # type: ignore[attr-defined]
    return hold


@scenario("CH08", clauses=("seed.lookupOrCreate", "seed.W1"), normal=2, soak=40, deadline=120)
def two_threads_that_come_at_once_trace_two_threads(stage: Stage) -> None:
    """Two threads that switch for the first time, at any step of each other, trace different stub threads."""
    with meeting(stage) as scene:
        for target in (scene.target, scene.sibling):
            scene.makes_a_call(target, scene.first)
        scene.first.end(stage, by_returning)
        at_each_step(stage, partial(_come_twice, scene))
        scene.first = SteppedThread()


def _come_twice(scene: Meeting, step: int) -> Hold:
    hold, first, second = scene.hold(step), SteppedThread(), SteppedThread()
    for target in (scene.target, scene.sibling):
        target.open_gate()
    held = scene.target.switch(first, hold)
    within(scene.stage, BOUND, lambda: hold.is_reached or held.is_over)
    task = scene.sibling.switch(second)
    scene.meanwhile(task)
    hold.release()
    outcomes: list[Event | object] = [scene.result(one, "the first switch of a thread") for one in (held, task)]
    assert outcomes == [GETPID, GETPID], f"two threads' first switches, one held at {hold.place}: {outcomes}"
    for target, thread in ((scene.target, first), (scene.sibling, second)):
        target.answer()
        thread.end(scene.stage, by_returning)
    return hold
