"""Injected system calls that signals interrupt: each is restarted or continued until it has its result.

The kernel has four codes for an interrupted call, which user space never sees (include/linux/errno.h): ERESTARTSYS,
ERESTARTNOINTR, ERESTARTNOHAND and ERESTART_RESTARTBLOCK.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from functools import partial

from worldswitch.harness.verdict import in_time
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage.accounts import Accounts, interrupting
from worldswitch.scenarios.stage.deaths import KILLED, cause_of, kill
from worldswitch.scenarios.stage.processes import process_state
from worldswitch.scenarios.stage.senders import CATCHABLE, STORM, SignalSender
from worldswitch.scenarios.stage.stage import Stage
from worldswitch.scenarios.stage.waiting_calls import (
    FUTEX_TID_MASK,
    Call,
    Room,
    Waiting,
    injected,
    no_child_left,
    refusal,
)

#: Signals that interrupt a waiting call: ignored, fatal and stopping ones.
DISTURBANCES = (signal.SIGCHLD, signal.SIGTERM, signal.SIGSTOP, signal.SIGCONT)


@scenario("IJ01", clauses=("seed.syscallIgnoreInterrupt", "kernel.R1"), normal=3, soak=100)
def a_read_interrupted_by_signals_is_restarted(stage: Stage) -> None:
    """An injected read of a pipe (ERESTARTSYS) is restarted after signals, and reads the byte that arrives."""
    room = Room(stage)
    with SignalSender() as other:
        for _ in range(stage.trial.repeat):
            waiting = Waiting(room, room.read())
            waiting.goes_on_despite(other, *DISTURBANCES)
            waiting.ends_with_its_result()
            assert room.memory[0:1] == b"!"
            room.memory[0:1] = b"\0"


@scenario("IJ01", clauses=("seed.createStub", "seed.syscallIgnoreInterrupt"), normal=3, soak=100)
def a_wait_for_a_child_is_restarted(stage: Stage) -> None:
    """An injected wait4 is restarted after the SIGCHLD of a child that stops and continues, and reaps the child."""
    room = Room(stage)
    with SignalSender() as other, no_child_left(room):
        for _ in range(stage.trial.repeat):
            child = injected(room.space, Number.CLONE, signal.SIGCHLD)
            waiting = Waiting(room, Call(Number.WAIT4, (child, room.address), partial(kill, child), child))
            for signo, is_stopped in ((signal.SIGSTOP, True), (signal.SIGCONT, False)):
                other.kill(child, signo)
                stage.wait_until(lambda: (process_state(child) == "T") == is_stopped)  # noqa: B023 (called at once)
                waiting.waits_on("the SIGCHLD of a child that stopped or went on")
            waiting.goes_on_despite(other, *DISTURBANCES)
            waiting.ends_with_its_result()
            assert room.memory.word() & 0x7F == signal.SIGKILL


@scenario("IJ02", clauses=("seed.syscallIgnoreInterrupt", "kernel.R1"), normal=3, soak=100)
def a_select_interrupted_by_signals_is_restarted(stage: Stage) -> None:
    """An injected select (ERESTARTNOHAND) is restarted after signals, and returns the file that is ready."""
    room = Room(stage)
    with SignalSender() as other:
        for _ in range(stage.trial.repeat):
            waiting = Waiting(room, room.select())
            waiting.goes_on_despite(other, *DISTURBANCES)
            waiting.ends_with_its_result()


@scenario("IJ02", clauses=("seed.syscallIgnoreInterrupt", "kernel.R1"))
def a_pause_goes_on_until_the_stub_dies(stage: Stage) -> None:
    """An injected pause continues after signals until the stub dies, and then reports the cause."""
    room = Room(stage)
    with SignalSender() as other:
        waiting = Waiting(room, Call(Number.PAUSE, (), lambda: None, 0))
        waiting.goes_on_despite(other, *DISTURBANCES, *CATCHABLE)
        kill(waiting.pid)
        assert cause_of(lambda: raised(waiting.running.result())) == KILLED


def raised(outcome: object) -> object:
    """Raise an error; return anything else."""
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


@scenario("IJ03", clauses=("seed.syscallIgnoreInterrupt", "futex(2) FUTEX_LOCK_PI"), normal=3, soak=100)
def a_lock_interrupted_by_signals_is_restarted(stage: Stage) -> None:
    """An injected futex lock (ERESTARTNOINTR) is restarted after signals, and is acquired once, by its own thread."""
    room = Room(stage)
    with SignalSender() as other:
        for _ in range(stage.trial.repeat):
            waiting = Waiting(room, room.lock())
            waiting.goes_on_despite(other, *DISTURBANCES)
            waiting.ends_with_its_result()
            assert room.memory.word() & FUTEX_TID_MASK == waiting.tid, "another thread acquired the lock"


@scenario("IJ03", clauses=("seed.clone", "fact.H1"), quick=30, normal=100, soak=2000, deadline=150)
def a_clone_in_a_signal_storm_makes_one_child(stage: Stage) -> None:
    """An injected clone that signals restart (ERESTARTNOINTR) makes exactly one child."""
    room = Room(stage)
    stub = room.space.stub

    def clone() -> None:
        for _ in range(stage.trial.repeat):
            child = injected(room.space, Number.CLONE, signal.SIGCHLD)
            kill(child)
            assert injected(room.space, Number.WAIT4, -1, 0, 0, 0) == child, "there was another child"
            assert refusal(lambda: room.space.inject(Number.WAIT4, -1, 0, os.WNOHANG, 0)) == errno.ECHILD

    with SignalSender() as other, no_child_left(room), other.storm(stub.pid, STORM):
        stage.bounded(clone, 10 + stage.trial.repeat / 20)


@scenario("K19", clauses=("kernel.R3", "rr#3141"), quick=100, normal=500, soak=20_000, deadline=120)
def a_signal_that_another_thread_takes_ends_no_injected_call(stage: Stage) -> None:
    """A signal that wakes an injected call, but that another thread takes, ends neither that call nor a guest's."""
    room = Room(stage)
    waiting = Waiting(room, room.read())  # before there is a guest: the kernel wakes the oldest suitable thread
    account = Accounts(stage, room.space, platform=room.platform)
    with SignalSender() as other, interrupting(stage, [account]):
        running = stage.thread(account.run, stage.trial.repeat)

        def is_over() -> bool:
            other.kill(waiting.pid, *[signal.SIGUSR1, signal.SIGTERM] * 5)
            return running.is_over

        stage.wait_until(is_over, 20 + stage.trial.repeat / 100, "a guest makes its calls")
        running.result()
    waiting.waits_on("a signal to its process")
    waiting.ends_with_its_result()


@scenario("IJ04", "K17", clauses=("seed.W6", "kernel.R1", "kernel.R4"), normal=3, soak=50)
def a_poll_with_a_timeout_interrupted_by_signals_is_handled(stage: Stage) -> None:
    """An injected poll with a timeout (ERESTART_RESTARTBLOCK) continues after signals, and returns a ready file."""
    room = Room(stage)
    with SignalSender() as other:
        for _ in range(stage.trial.repeat):
            waiting = Waiting(room, room.poll())
            waiting.goes_on_despite(other, *DISTURBANCES)
            waiting.ends_with_its_result()


@scenario("IJ04", "K17", clauses=("seed.W6", "kernel.R1", "kernel.R4"), normal=3, soak=50)
def a_futex_wait_with_a_timeout_interrupted_by_signals_is_handled(stage: Stage) -> None:
    """An injected futex wait with a timeout (ERESTART_RESTARTBLOCK) continues after signals until it is woken."""
    room = Room(stage)
    with SignalSender() as other:
        for _ in range(stage.trial.repeat):
            waiting = Waiting(room, room.futex_wait())
            waiting.goes_on_despite(other, *DISTURBANCES)
            waiting.ends_with_its_result()


@scenario("IJ04", "K17", clauses=("seed.W6", "nanosleep(2)", "restart_syscall(2)"))
def a_sleep_interrupted_over_and_over_ends_in_time(stage: Stage) -> None:
    """An injected sleep (ERESTART_RESTARTBLOCK) under repeated signals takes as long as requested."""
    room, seconds = Room(stage), 0.3
    with SignalSender() as other:
        begin = time.monotonic()
        waiting = Waiting(room, room.sleep(seconds))
        while not waiting.running.is_over:
            other.tgkill(waiting.pid, waiting.tid, signal.SIGUSR1)
            in_time(time.monotonic() - begin < stage.trial.seconds(4), "a sleep of 0.3 s starts over at each signal")
        waiting.ends_with_its_result()
        assert time.monotonic() - begin >= seconds, "a signal ended the sleep early"
