"""What may happen between any two steps of a tracing thread, each moment hit exactly: a kill, an exception.

What a thread does with its tracee is a row of system calls: set registers, resume, wait, read back.  Between any two of
them a SIGKILL may come, and each of them may be the first to meet a corpse; or a signal of this process, whose handler
raises.  A `Stepper` halts the thread at the n-th entry or exit, the thing happens, and the thread goes on.
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
    """SIGKILL before or after any system call of a switch, a mapping and an injected call: one typed death."""
    harness = children.fork(stage, lambda line: _serve(stage, line))
    length = _play(stage, harness, None)
    stage.trial.note(f"{length} steps")
    first = dice(stage).random()
    for turn in range(stage.trial.repeat):
        _play(stage, harness, int((turn + first) * length / stage.trial.repeat))
    harness.line.send("over")
    harness.result(5)
    harness.wait(5)


@scenario("TT11", "SG19", clauses=("signal(7)", "seed.lookupOrCreate"), quick=12, normal=50, soak=400, deadline=60)
def an_exception_at_any_step_of_a_first_switch_loses_no_thread(stage: Stage) -> None:
    """A signal handler raises while a thread gets its first stub thread: the next switch works, with no thread more."""
    harness = children.fork(stage, lambda line: _be_interrupted(stage, line))
    length, usual = _interrupt(stage, harness, None)
    first = dice(stage).random()
    for turn in range(stage.trial.repeat):
        step, threads = _interrupt(stage, harness, int((turn + first) * length / stage.trial.repeat))
        assert threads == usual, f"interrupted at step {step}, and the stub has {threads} threads, not {usual}"
    harness.line.send("over")
    harness.result(5)
    harness.wait(5)


# ---------------------------------------------------------------------------------------------------------- pieces


def _play(stage: Stage, harness: Child, moment: int | None) -> int:
    """Have a fresh stub killed after so many steps of its tracer, or not at all; how many steps were made."""
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
    if told is None and steps == moment:  # it came after the last operation
        harness.line.send("once more")
        told = harness.hear(5)
    assert told == (KILLED if steps == moment else None), f"of a kill after step {steps} was told: {told}"
    return steps


def _serve(stage: Stage, line: Line) -> None:
    """Go through all operations in one thread, with a new stub each time, and tell of its death."""
    while (word := line.receive(20)) != "over":
        if word == "go on":
            guest = stage.guest(guests.getpid_loop)
            _work(guest)
            line.send((stub_of(stage, guest.space), threading.get_native_id()))
            line.receive(10)
        line.send(_work(guest))


def _work(guest: Guest) -> Cause | None:
    """Why the stub died, as the first operation says that notices."""
    operations: tuple[Callable[[], object], ...] = (
        guest.switch,
        partial(guest.space.map_file, guest.data_address, guest.data.fd, 0, PAGE, Access.READ | Access.WRITE),
        partial(guest.space.unmap, guest.stack_address, PAGE),
        partial(guest.context.switch, guest.space, guest.state),
    )
    outcomes = map(outcome_of, operations)
    return next((outcome.cause for outcome in outcomes if isinstance(outcome, Died)), None)


def _interrupt(stage: Stage, harness: Child, moment: int | None) -> tuple[int, int]:
    """Send a first switch's thread a signal after so many steps, or none; how many it made, and the stub's threads."""
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
    """What the signal handler raises."""


def _be_interrupted(stage: Stage, line: Line) -> None:
    """Switch to a new stub's guest for the first time, whatever comes, and then again; tell how many threads it has."""
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
