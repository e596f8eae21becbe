"""The interrupt protocol, in every order of its steps: an interrupt ends the switch that runs, or the next, once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any, cast

import pytest

from worldswitch.harness.contract import Event, Interrupted
from worldswitch.reference.interrupts import INTERRUPTED, NUDGE, Interruptible
from worldswitch.reference.locks import Lock

#: More steps than either side has.
STEPS = 12


class Platform:
    def check_ours(self) -> None:
        pass


class Thread:
    """A stub thread whose guest computes for ever: it stops when a signal is pending, and takes that away."""

    tid = 7

    def __init__(self) -> None:
        self.stub = self
        self.pending = 0

    def signal(self, tid: int, signo: int) -> None:
        assert (tid, signo) == (self.tid, NUDGE)
        self.pending = 1


def switch(context: Interruptible, thread: Thread) -> Iterator[None]:
    """The tracing thread's side, step by step; returns at an event."""
    context._running = cast(Any, thread)
    yield
    event: Event | None = INTERRUPTED if context._pending else None
    while event is None:
        yield
        if thread.pending:
            thread.pending = 0
            yield
            event = context._interruption()
    yield
    context._pending = False
    yield
    context._running = None


def interrupt_during(context: Interruptible, steps: Iterator[None], line: int, count: int) -> bool:
    """Interrupt, and take `count` steps of the switch before the line with the number `line`; False if it has fewer."""
    lines = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal lines
        if frame.f_code.co_name != "interrupt":
            return None
        if event == "line":
            lines += 1
            if lines == line:
                take(steps, count)
        return trace

    sys.settrace(trace)
    try:
        context.interrupt()
    finally:
        sys.settrace(None)
    return lines >= line


def take(steps: Iterator[None], count: int) -> bool:
    """Take so many steps; False if the switch has ended."""
    return all(next(steps, True) is None for _ in range(count))


def ends(steps: Iterator[None]) -> bool:
    return not take(steps, STEPS)


@pytest.fixture
def context() -> Interruptible:
    return Interruptible(cast(Any, Platform()))


@pytest.mark.parametrize("before", range(STEPS))
def test_an_interrupt_between_any_two_steps_of_a_switch(context: Interruptible, before: int) -> None:
    steps = switch(context, Thread())
    take(steps, before)
    context.interrupt()
    assert ends(steps)
    assert not context._pending
    assert not ends(switch(context, Thread())), "one interrupt ended two switches"


@pytest.mark.parametrize("count", range(1, STEPS))
def test_a_switch_that_begins_between_any_two_steps_of_an_interrupt(context: Interruptible, count: int) -> None:
    for line in range(1, STEPS):
        steps = switch(context, Thread())
        reached = interrupt_during(context, steps, line, count)
        assert ends(steps) or ends(switch(context, Thread())), f"an interrupt was lost: {line}, {count}"
        if not reached:
            assert line > 4, "interrupt has fewer steps than this test believes"
            return


@pytest.mark.parametrize("before", range(STEPS))
def test_a_nudge_of_others_is_no_interrupt(context: Interruptible, before: int) -> None:
    thread = Thread()
    steps = switch(context, thread)
    take(steps, before)
    thread.signal(thread.tid, NUDGE)
    assert not ends(steps)


def test_two_interrupts_are_one(context: Interruptible) -> None:
    context.interrupt()
    context.interrupt()
    assert ends(switch(context, Thread()))
    assert not ends(switch(context, Thread()))
    assert Interrupted() == INTERRUPTED


def test_a_handlers_exception_after_the_acquisition_leaves_no_lock() -> None:
    """Since Python 3.14 a signal handler may run between the two."""

    class Interrupted(Exception):
        """A handler raises it."""

    class Interrupting(Lock):
        def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
            super().acquire(blocking, timeout)
            raise Interrupted

    lock = Interrupting()
    with pytest.raises(Interrupted), lock:
        pass
    assert not lock._is_owned()
