"""Encounters of any two operations: one is held at any of its steps while another one runs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from worldswitch.harness.contract import Access, Busy, Died, Interrupted, Platform, Released, StubDied, WrongThread
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.stage.deaths import kill, stub_of
from worldswitch.scenarios.stage.pacing import dice
from worldswitch.scenarios.stage.processes import own_children, process_state
from worldswitch.scenarios.stage.resources import Baseline
from worldswitch.scenarios.stage.stage import PAGE, Guest, Stage
from worldswitch.scenarios.stage.steady_guests import GETPID
from worldswitch.scenarios.stage.stepped_threads import (
    Hold,
    Insertion,
    SteppedThread,
    Task,
    within,
)
from worldswitch.scenarios.stage.thread_exits import by_returning

#: Seconds within which an operation must end, and to wait for one that may have to wait for a held thread.
BOUND, GRACE = 5.0, 0.02

#: How many operations each one meets in the quickest run.
FEW = 5

#: At how many moments a close is struck at least: only few lie between its beginning and the end of the last stub.
STRIKES_AT_CLOSE = 10

#: More steps than any operation has.
MOST = 1000


class Scene:
    """A platform with one address space, a guest in it, and threads that have or have not traced it."""

    def __init__(self, stage: Stage, platform: Platform) -> None:
        self.stage = stage
        self.platform = platform
        self.guest: Guest = Stage(stage.trial).guest(guests.getpid_loop, platform=platform)
        self.pid = stub_of(stage, self.guest.space)
        self.tracer, self.first, self.second = SteppedThread(), SteppedThread(), SteppedThread()
        assert self.result(self.tracer.run(self.switch), "the first switch") == GETPID
        self.guest.state.result = 0

    def switch(self) -> object:
        """Switch to the guest."""
        return self.guest.context.switch(self.guest.space, self.guest.state)

    def result(self, task: Task, what: str) -> object:
        """The outcome of a task, in time."""
        return task.outcome(self.stage, BOUND, what)

    def is_used(self, by: Task, again: Task) -> None:
        """Wait until the first is held or over, then give the second a little time; it may wait for the first."""
        hold = by.hold
        assert hold is not None
        within(self.stage, BOUND, lambda: hold.is_reached or by.is_over)
        within(self.stage, GRACE, lambda: again.is_over)

    def end(self) -> None:
        """Close the platform and end the threads."""
        assert self.result(self.second.run(self.platform.close), "the second close") is None
        for thread in (self.tracer, self.first, self.second):
            thread.end(self.stage, by_returning)


@contextmanager
def scene_of(stage: Stage) -> Iterator[Scene]:
    """A scene on a platform of its own, which leaves no process."""
    stage.platform.new_context()  # makes the stage's own platform first
    before = own_children()
    scene = Scene(stage, stage.short_lived())
    try:
        yield scene
    finally:
        stage.bounded(partial(_close_again, scene.platform), BOUND)
    scene.end()
    left = own_children() - before
    assert not left, f"processes left after close: { {pid: process_state(pid) for pid in left} }"


def _close_again(platform: Platform) -> None:
    """Close a platform that may have been closed."""
    try:
        platform.close()
    except Released as refusal:
        raise AssertionError(f"a close was refused: {refusal}") from refusal


# ----------------------------------------------------------------------------------------------------------- operations


@dataclass(frozen=True)
class Operation:
    """What a thread does in a scene, the outcomes that are always right, and those it causes in others."""

    act: Callable[[Scene], object]
    outcomes: tuple[type, ...]
    causes: tuple[type, ...] = ()
    has_steps: bool = True

    @property
    def name(self) -> str:
        """Its name."""
        return self.act.__name__.strip("_")


NONE = type(None)


def close(scene: Scene) -> object:
    """Close the platform."""
    return scene.platform.close()  # type: ignore[func-returns-value]


def release(scene: Scene) -> object:
    """Release the address space."""
    return scene.guest.space.release()  # type: ignore[func-returns-value]


def release_later(scene: Scene) -> object:
    """Release the address space in the background."""
    return scene.guest.space.release(wait=False)  # type: ignore[func-returns-value]


def birth(scene: Scene) -> object:
    """Make two address spaces: the platform may have one in reserve."""
    return [scene.platform.new_address_space() for _ in range(2)]


def switch(scene: Scene) -> object:
    """Switch, for the first time in this thread."""
    return scene.switch()


def interrupt(scene: Scene) -> object:
    """Interrupt the context."""
    return scene.guest.context.interrupt()  # type: ignore[func-returns-value]


def map_file(scene: Scene) -> object:
    """Map a page, for the first time in this thread."""
    guest = scene.guest
    return guest.space.map_file(guest.stack_address, guest.stack.fd, 0, PAGE, Access.READ)  # type: ignore[func-returns-value]


def unmap(scene: Scene) -> object:
    """Unmap a page."""
    return scene.guest.space.unmap(scene.guest.stack_address, PAGE)  # type: ignore[func-returns-value]


def end_of_tracer(scene: Scene) -> object:
    """End the thread that traced the stub, which hands it back; another one takes its place."""
    scene.tracer.end(scene.stage, by_returning)
    scene.tracer = SteppedThread()
    return None


def death(scene: Scene) -> object:
    """Kill the stub."""
    if process_state(scene.pid):
        kill(scene.pid)
    return None


def fork(scene: Scene) -> object:
    """Fork this process; the child is refused at once, and leaves the parent's stubs alone."""
    pid = os.fork()
    if pid == 0:
        os._exit(_refused_in_child(scene))
    end = time.monotonic() + scene.stage.trial.seconds(BOUND)
    while (done := os.waitpid(pid, os.WNOHANG)) == (0, 0):
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return "the forked child hangs"
        time.sleep(0.001)
    return os.waitstatus_to_exitcode(done[1]) or None


def _refused_in_child(scene: Scene) -> int:
    operations: Sequence[Callable[[], object]] = (scene.platform.new_address_space, scene.platform.close, scene.switch)
    for number, operation in enumerate(operations, start=1):
        try:
            operation()
        except WrongThread:
            continue
        except BaseException:
            return number
        return number
    return 0


GONE = (Released, StubDied, Died)

CLOSE = Operation(close, (NONE,), GONE)
RELEASE = Operation(release, (NONE, Busy), (Released,))
RELEASE_LATER = Operation(release_later, (NONE, Busy), (Released,))
BIRTH = Operation(birth, (list,))
SWITCH = Operation(switch, (type(GETPID),), (Busy,))
INTERRUPT = Operation(interrupt, (NONE,), (Interrupted,))
MAP, UNMAP = Operation(map_file, (NONE,)), Operation(unmap, (NONE,))
END = Operation(end_of_tracer, (NONE,), has_steps=False)
DEATH = Operation(death, (NONE,), (StubDied, Died), has_steps=False)
FORK = Operation(fork, (NONE,), has_steps=False)

ALL = (CLOSE, RELEASE, RELEASE_LATER, BIRTH, SWITCH, INTERRUPT, MAP, UNMAP, END, DEATH, FORK)


def _is_right(one: Operation, outcome: object, other: Operation, where: str) -> None:
    """Check an outcome: a right one by itself, or by what the other operation does."""
    permitted = one.outcomes + tuple(kind for kind in other.causes if _concerns(kind, one))
    assert isinstance(outcome, permitted), f"{one.name}, {where}, gave {outcome!r}"


def _concerns(kind: type, one: Operation) -> bool:
    """Whether an operation may end so: `close` and `interrupt` always succeed, and so does a release of the dead."""
    if one in (CLOSE, INTERRUPT, END, DEATH, FORK):
        return False
    if one in (RELEASE, RELEASE_LATER):
        return kind in (Released, Busy)
    if kind in (Died, Interrupted, Busy):
        return one is SWITCH
    return one is not SWITCH or kind is Released


# ----------------------------------------------------------------------------------------------------------- encounters


def _steps_of(stage: Stage, one: Operation, kind: type[Hold] = Hold) -> int:
    """How many steps the operation has when nothing else runs."""
    with scene_of(stage) as scene:
        hold = kind(scene.platform, MOST)
        scene.result(scene.first.run(partial(one.act, scene), hold), one.name)
        return hold.steps


def _meet(stage: Stage, one: Operation, other: Operation, step: int) -> None:
    """Hold one operation at a step while another one runs."""
    with scene_of(stage) as scene:
        hold = Hold(scene.platform, step)
        held = scene.first.run(partial(one.act, scene), hold)
        within(stage, BOUND, lambda: hold.is_reached or held.is_over)
        task = scene.second.run(partial(other.act, scene))
        scene.is_used(held, task)
        where = f"held at {hold.place or 'no step'}"
        outcome = scene.result(held, f"{one.name}, {where}, meeting {other.name}")
        also = scene.result(task, f"{other.name}, meeting {one.name}, {where}")
        _is_right(one, outcome, other, f"{where}, meeting {other.name}")
        _is_right(other, also, one, f"meeting {one.name}, {where}")
        if {one, other} <= {RELEASE, RELEASE_LATER}:
            assert [outcome, also].count(None) == 1, f"two releases, {where}, gave {outcome!r} and {also!r}"


def _meet_all(stage: Stage, one: Operation) -> None:
    """Have one operation meet the others, at steps drawn from the seed: a few others in the quickest run."""
    steps, random = _steps_of(stage, one), dice(stage)
    baseline = Baseline(stage)
    for other in random.sample(ALL, FEW) if stage.trial.repeat == 1 else ALL:
        for step in random.sample(range(1, steps + 1), min(stage.trial.repeat, steps)):
            _meet(stage, one, other, step)
    baseline.is_unchanged()
    stage.trial.note(f"{one.name} has {steps} steps")


@scenario("CH10", clauses=("seed.Release", "seed.I11", "gvisor da6ddd1df"), normal=4, soak=1000, deadline=600)
def a_close_at_any_step_meets_any_operation(stage: Stage) -> None:
    """A close that is held at any step and any other operation end in time, as the contract says."""
    _meet_all(stage, CLOSE)


@scenario("CH10", clauses=("seed.Release", "gvisor f01bf248c"), normal=4, soak=1000, deadline=600)
def a_release_at_any_step_meets_any_operation(stage: Stage) -> None:
    """A release that is held at any step and any other operation end in time, as the contract says."""
    _meet_all(stage, RELEASE)
    _meet_all(stage, RELEASE_LATER)


@scenario("CH10", clauses=("seed.newSubprocess", "seed.W15"), normal=4, soak=1000, deadline=600)
def a_new_address_space_at_any_step_meets_any_operation(stage: Stage) -> None:
    """The making of address spaces that is held at any step and any other operation end in time."""
    _meet_all(stage, BIRTH)


@scenario("CH10", clauses=("seed.lookupOrCreate", "seed.switchToApp"), normal=4, soak=1000, deadline=600)
def a_first_switch_at_any_step_meets_any_operation(stage: Stage) -> None:
    """A thread's first switch that is held at any step and any other operation end in time, as the contract says."""
    _meet_all(stage, SWITCH)


@scenario("CH10", clauses=("seed.NotifyInterrupt", "seed.Forwarder"), normal=4, soak=1000, deadline=600)
def an_interrupt_at_any_step_meets_any_operation(stage: Stage) -> None:
    """An interrupt that is held at any step and any other operation end in time, as the contract says."""
    _meet_all(stage, INTERRUPT)


@scenario("CH10", clauses=("seed.MapFile", "seed.Unmap"), normal=4, soak=1000, deadline=600)
def a_mapping_at_any_step_meets_any_operation(stage: Stage) -> None:
    """A map or unmap that is held at any step and any other operation end in time, as the contract says."""
    _meet_all(stage, MAP)
    _meet_all(stage, UNMAP)


# -------------------------------------------------------------------------------------------------------------- closing


@scenario("CH11", clauses=("seed.newSubprocess", "seed.Release"), normal=2, soak=20, deadline=300)
def what_is_asked_before_the_platform_closes_is_answered(stage: Stage) -> None:
    """A close at any step of a thread that asks for an address space leaves it neither waiting nor with a dead one."""
    for _ in range(stage.trial.repeat):
        for other in (BIRTH,) if stage.trial.repeat == 1 else (BIRTH, RELEASE_LATER):
            for step in range(1, _steps_of(stage, other) + 1):
                _meet(stage, other, CLOSE, step)


# ------------------------------------------------------------------------------------------------------ signal handlers


@scenario("CH12", "IN08", clauses=("signal(7)", "seed.NotifyInterrupt"), quick=1, normal=4, soak=1000, deadline=600)
def a_signal_handler_at_any_step_of_an_operation_may_interrupt(stage: Stage) -> None:
    """A signal handler that interrupts a context at any step of an operation ends the switch under way or the next."""
    for one, step in _steps_of_all(stage, "interrupt"):
        with scene_of(stage) as scene:
            insertion = Insertion(scene.platform, step, scene.guest.context.interrupt)
            outcome = scene.result(scene.first.run(partial(one.act, scene), insertion), f"{one.name}, interrupted")
            where = f"with an interrupt in a handler at {insertion.place or 'no step'}"
            _is_right(one, outcome, INTERRUPT, where)
            if one in (BIRTH, INTERRUPT, MAP, UNMAP) or (one is SWITCH and outcome != Interrupted()):
                again = scene.result(scene.first.run(scene.switch), "the next switch")
                assert again == Interrupted(), f"the switch after {one.name}, {where}, gave {again!r}"


@scenario("LC20", clauses=("signal(7)", "seed.I11"), quick=2, normal=4, soak=1000, deadline=600)
def an_exception_at_any_step_of_an_operation_leaves_a_platform_that_works(stage: Stage) -> None:
    """A signal handler's exception at any step of an operation ends it; others work, and `close` leaves nothing."""
    for one, step in _steps_of_all(stage, "exception"):
        with scene_of(stage) as scene:
            insertion = Insertion(scene.platform, step, _strike)
            outcome = scene.result(scene.first.run(partial(one.act, scene), insertion), f"{one.name}, struck")
            where = f"an exception at {insertion.place or 'no step'} of {one.name}"
            assert isinstance(outcome, (_Strike, *one.outcomes)), f"{where} became {outcome!r}"
            if one is not CLOSE:
                again = scene.result(scene.second.run(partial(BIRTH.act, scene)), f"new address spaces after {where}")
                assert isinstance(again, list), f"after {where}, new address spaces gave {again!r}"


class _Strike(Exception):
    """Raised by the signal handler."""


def _strike() -> None:
    raise _Strike


def _steps_of_all(stage: Stage, what: str) -> Iterator[tuple[Operation, int]]:
    """Steps of each operation, drawn from the seed."""
    random = dice(stage)
    for one in (op for op in ALL if op.has_steps):
        steps = _steps_of(stage, one, Insertion)
        stage.trial.note(f"{one.name} has {steps} steps for an {what}")
        count = max(stage.trial.repeat, STRIKES_AT_CLOSE if one is CLOSE else 0)
        for step in random.sample(range(1, steps + 1), min(count, steps)):
            yield one, step
