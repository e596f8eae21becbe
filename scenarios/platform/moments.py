"""Events between any two steps of a tracing thread: a kill of its stub, or an exception from a signal handler.

A thread handles its tracee by a sequence of system calls: set registers, resume, wait, read back.  Between any two the
stub may be killed, and each call may be the first to find it dead; or a signal handler of this process raises.  A
`Stepper` stops the thread at the n-th entry or exit, the event happens, and the thread continues.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable
from functools import partial
from typing import cast

from worldswitch.harness.contract import Access, Cause, Died
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.stage import children
from worldswitch.scenarios.stage.children import Child, Line
from worldswitch.scenarios.stage.deaths import KILLED, kill, outcome_of, stub_of
from worldswitch.scenarios.stage.pacing import dice
from worldswitch.scenarios.stage.processes import threads_of
from worldswitch.scenarios.stage.senders import tgkill
from worldswitch.scenarios.stage.stage import PAGE, Guest, Stage
from worldswitch.scenarios.stage.traced_harness import Stepper, await_death


@scenario(
    "LC03", "K36", "K16", clauses=("seed.W4", "kernel.D2", "kernel.S4", "gvisor#1335"), quick=12, normal=50, soak=400
)
def a_stub_killed_between_any_two_steps_of_its_tracer_dies_the_same_death(stage: Stage) -> None:
    """A stub killed between any two system calls of its tracer's operation dies the same typed death."""
    harness = children.fork(stage, lambda line: _serve(stage, line))
    length = _kill_after(stage, harness, None)
    stage.trial.note(f"{length} steps")
    first = dice(stage).random()
    for turn in range(stage.trial.repeat):
        _kill_after(stage, harness, int((turn + first) * length / stage.trial.repeat))
    harness.line.send("over")
    harness.result(5)
    harness.wait(5)


@scenario("TT11", "SG19", clauses=("signal(7)", "seed.lookupOrCreate"), quick=12, normal=50, soak=400, deadline=60)
def an_exception_at_any_step_of_a_first_switch_loses_no_thread(stage: Stage) -> None:
    """An exception at any step of a thread's first switch adds no stub thread, and the next switch works."""
    harness = children.fork(stage, lambda line: _be_interrupted(stage, line))
    length, usual = _interrupt(stage, harness, None)
    first = dice(stage).random()
    for turn in range(stage.trial.repeat):
        step, threads = _interrupt(stage, harness, int((turn + first) * length / stage.trial.repeat))
        assert threads == usual, f"interrupted at step {step}: the stub has {threads} threads, not {usual}"
    harness.line.send("over")
    harness.result(5)
    harness.wait(5)


# --------------------------------------------------------------------------------------------------------------- pieces


def _kill_after(stage: Stage, harness: Child, moment: int | None) -> int:
    """Kill a new stub after so many steps of its tracer, or never; the number of steps."""
    harness.line.send("go on")
    stub, tid = cast(tuple[int, int], harness.hear(10))
    stepper = Stepper(stage, tid)
    harness.line.send("begin")
    steps = 0
    while steps != moment and stepper.step(harness.line.has_word):
        steps += 1
    if steps == moment:
        kill(stub)
        await_death(stage, stub)
    stepper.let_go()
    told = harness.hear(5)
    if told is None and steps == moment:  # the kill came after the last operation
        harness.line.send("once more")
        told = harness.hear(5)
    assert told == (KILLED if steps == moment else None), f"a kill after step {steps} was reported as {told}"
    return steps


def _serve(stage: Stage, line: Line) -> None:
    """Run all operations in one thread, with a new stub each time, and send its death."""
    while (word := line.receive(20)) != "over":
        if word == "go on":
            guest = stage.guest(guests.getpid_loop)
            _work(guest)
            line.send((stub_of(stage, guest.space), threading.get_native_id()))
            line.receive(10)
        line.send(_work(guest))


def _work(guest: Guest) -> Cause | None:
    """The cause of death, from the first operation that reports it."""
    operations: tuple[Callable[[], object], ...] = (
        guest.switch,
        partial(guest.space.map_file, guest.data_address, guest.data.fd, 0, PAGE, Access.READ | Access.WRITE),
        partial(guest.space.unmap, guest.stack_address, PAGE),
        partial(guest.context.switch, guest.space, guest.state),
    )
    outcomes = map(outcome_of, operations)
    return next((outcome.cause for outcome in outcomes if isinstance(outcome, Died)), None)


def _interrupt(stage: Stage, harness: Child, moment: int | None) -> tuple[int, int]:
    """Signal a thread after so many steps of its first switch; its steps, and the stub's threads."""
    harness.line.send("go on")
    stepper = Stepper(stage, cast(int, harness.hear(10)))
    harness.line.send("begin")
    steps = 0
    while steps != moment and stepper.step(harness.line.has_word):
        steps += 1
    if steps == moment:
        tgkill(harness.pid, stepper.tid, signal.SIGUSR1)
    stepper.let_go()
    return steps, cast(int, harness.hear(5))


class _Interruption(Exception):
    """Raised by the signal handler."""


def _be_interrupted(stage: Stage, line: Line) -> None:
    """Switch to a new stub's guest for the first time, despite exceptions, and again; the number of its threads."""
    armed = False

    def interrupt(*_: object) -> None:
        if armed:
            raise _Interruption

    signal.signal(signal.SIGUSR1, interrupt)
    while line.receive(20) != "over":
        guest = stage.guest(guests.getpid_loop)
        line.send(threading.get_native_id())
        line.receive(10)
        with contextlib.suppress(_Interruption):
            armed = True
            try:
                guest.switch()
            finally:
                armed = False
        guest.syscalls(2)
        assert guest.data.word() == guest.state["r12"] > 0
        line.send(len(threads_of(stub_of(stage, guest.space))))
