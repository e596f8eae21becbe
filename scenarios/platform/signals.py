"""Signals that are not the guest's: foreign, forged or the harness's own, one or a storm.

Signals that a guest's own execution raises end its switch.  A signal sent to its stub does not: the guest's state stays
the same, and only `Context.interrupt` makes a switch return `Interrupted`.
"""

from __future__ import annotations

import itertools
import os
import random
import resource
import signal
import threading
from functools import partial

import pytest

from worldswitch.harness.contract import Access, Fault, Interrupted
from worldswitch.harness.verdict import in_time
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage.alarms import Alarmed, timer_handler
from worldswitch.scenarios.stage.memory_guests import reads
from worldswitch.scenarios.stage.processes import process_state
from worldswitch.scenarios.stage.senders import CATCHABLE, FORGEABLE_CODES, STORM, SignalSender, untaken
from worldswitch.scenarios.stage.stage import PAGE, Stage
from worldswitch.scenarios.stage.steady_guests import GETPID, Computing, makes_calls, outcome_of

#: More calls for a guest while too few handlers have raised.
CALLS_A_ROUND = 100


@scenario("SG07", clauses=("seed.switchToApp", "kernel.I4"), normal=2, soak=50)
def a_foreign_signal_does_not_disturb_a_computation(stage: Stage) -> None:
    """No signal that another process sends to the stub or to its thread is an event of a computing guest."""
    with SignalSender() as other, Computing(stage) as guest:
        for signo in CATCHABLE * stage.trial.repeat:
            other.kill(guest.pid, signo)
            other.tgkill(guest.pid, guest.tid, signo)
            guest.is_undisturbed(f"signal {signo} from process {other.pid}")
        guest.ends_when_interrupted()


@scenario("SG07", clauses=("seed.switchToApp", "kernel.I4"), normal=2, soak=50)
def a_foreign_signal_is_not_an_event_of_the_next_switch(stage: Stage) -> None:
    """No signal that is pending for a guest's thread when a switch begins is an event of that switch."""
    with SignalSender() as other:
        guest = stage.guest(guests.getpid_loop)
        stub = stage.inspect(guest.space).stub

        def send_and_switch() -> None:
            makes_calls(guest, 1)
            for signo in CATCHABLE * stage.trial.repeat:
                for tid in stage.inspect(guest.space).stub.tids:
                    other.tgkill(stub.pid, tid, signo)
                other.kill(stub.pid, signo)
                makes_calls(guest, 1)

        stage.bounded(send_and_switch, 15)


@scenario(
    "SG08", "K25", "K31", clauses=("seed.W9", "kernel.I3", "kernel.I5"), needs="rt_tgsigqueueinfo", normal=2, soak=50
)
def a_forged_sender_is_not_believed(stage: Stage) -> None:
    """A forged signal that claims the harness as its sender is neither the guest's nor an interrupt."""
    with SignalSender() as other, Computing(stage) as guest:
        for signo in CATCHABLE * stage.trial.repeat:
            for code in FORGEABLE_CODES.values():
                for tid in (0, guest.tid):
                    value = random.choice((0, random.getrandbits(64)))
                    other.forge(guest.pid, tid, signo, code=code, claimed=os.getpid(), value=value)
            guest.is_undisturbed(f"signal {signo}, sent by {other.pid} in the name of {os.getpid()}")
        guest.ends_when_interrupted()


@scenario("SG08", "K25", "K31", clauses=("seed.W9", "kernel.I3"), needs="rt_tgsigqueueinfo", normal=2, soak=50)
def a_forged_signal_between_switches_is_not_an_interrupt(stage: Stage) -> None:
    """A forged signal that is pending when a switch begins ends neither that switch nor a later one."""
    with SignalSender() as other:
        guest = stage.guest(guests.getpid_loop)
        stub = stage.inspect(guest.space).stub

        def forge_and_switch() -> None:
            for signo in CATCHABLE * stage.trial.repeat:
                for code in FORGEABLE_CODES.values():
                    other.forge(stub.pid, 0, signo, code=code, claimed=os.getpid(), value=random.getrandbits(64))
                makes_calls(guest, 2)

        stage.bounded(forge_and_switch, 15)


@scenario(
    "SG10", clauses=("seed.syscall", "seed.syscallIgnoreInterrupt"), quick=30, normal=300, soak=10_000, deadline=240
)
def injected_calls_succeed_in_a_signal_storm(stage: Stage) -> None:
    """In a storm of signals to the stub, each mapping maps the right page and each unmap removes it."""
    with SignalSender() as other:
        guest = stage.guest(guests.read_at)
        pages = stage.memory(16 * PAGE)
        for index in range(16):
            pages.set_word(index * PAGE, index + 1)
        address = stage.place(guest.space, PAGE)

        def map_and_unmap() -> None:
            for index in range(stage.trial.repeat):
                offset = index % 16 * PAGE
                mapped = outcome_of(partial(guest.space.map_file, address, pages.fd, offset, PAGE, Access.READ))
                assert mapped is None, f"mapping number {index}: {mapped!r}"
                assert reads(guest, address) == GETPID
                assert guest.state["rsi"] == index % 16 + 1, "a wrong page was mapped"
                unmapped = outcome_of(lambda: guest.space.unmap(address, PAGE))
                assert unmapped is None, f"unmapping number {index}: {unmapped!r}"
                fault = reads(guest, address)
                assert isinstance(fault, Fault), f"unmapped memory could be read: {fault}"
                assert fault.address == address

        with other.storm(stage.inspect(guest.space).stub.pid, STORM):
            stage.bounded(map_and_unmap, 5 + stage.trial.repeat / 50)


@scenario("SG10", clauses=("seed.syscall", "kernel.S4"), quick=100, normal=1000, soak=20_000, deadline=240)
def an_injected_calls_result_is_its_own_in_a_signal_storm(stage: Stage) -> None:
    """In a storm of signals to the stub, an injected call returns its own result."""
    with SignalSender() as other:
        space = stage.inspect(stage.space(stage.platform_with(injectable=(Number.GETPID,))))
        pid = space.stub.pid

        def inject() -> None:
            for _ in range(stage.trial.repeat):
                result = outcome_of(lambda: space.inject(Number.GETPID))
                assert result == pid, f"an injected getpid of process {pid} gave {result!r}"

        with other.storm(pid, STORM):
            stage.bounded(inject, 5 + stage.trial.repeat / 100)


@scenario("SG11", "K24", clauses=("seed.switchToApp", "seed.W9", "kernel.I1"), normal=10, soak=500)
def the_harness_own_signals_are_no_signals_of_the_guest(stage: Stage) -> None:
    """Signals that the harness, or its namesake in another PID namespace, sends without `interrupt` are no events."""
    for _ in range(stage.trial.repeat):
        with Computing(stage) as guest:
            tid = guest.tid
            for signo in (signal.SIGCHLD, signal.SIGUSR1, signal.SIGTERM, signal.SIGRTMIN, signal.SIGRTMAX):
                os.kill(guest.pid, signo)
            stage.wait_until(partial(is_over_or_has_taken_all, guest, tid), claim="the signals are taken")
            if not guest.running.is_over:
                guest.guest.context.interrupt()
            assert guest.running.result() == Interrupted()
            guest.is_exact()
        guest.guest.space.release()


def is_over_or_has_taken_all(computing: Computing, tid: int) -> bool:
    """Whether the guest's switch has ended or its thread has taken all signals."""
    return computing.running.is_over or not untaken(computing.pid, tid)


@scenario("SG11", "K26", clauses=("seed.W9", "kernel.I6", "sigqueue(3) EAGAIN"), normal=20, soak=1000)
def an_exhausted_signal_queue_loses_no_interrupt(stage: Stage) -> None:
    """With a full signal queue, interrupts still end switches, and foreign signals still do not."""
    resource.setrlimit(resource.RLIMIT_SIGPENDING, (0, 0))
    with SignalSender() as other:
        guest = stage.guest(guests.count_loop)
        for _ in range(stage.trial.repeat):
            with Computing(stage, guest) as computing:
                other.kill(computing.pid, signal.SIGUSR1, signal.SIGTERM, signal.SIGRTMAX)
                computing.is_undisturbed("a foreign signal without its siginfo")
                computing.ends_when_interrupted()


@scenario("SG17", clauses="sigaction(2) SA_NOCLDSTOP", quick=50, normal=500, soak=20_000)
def a_stop_runs_no_sigchld_handler(stage: Stage) -> None:
    """The harness's SIGCHLD handler does not run for a stop of a stub, and runs when a child ends."""
    calls: list[int] = []
    signal.signal(signal.SIGCHLD, lambda signo, frame: calls.append(signo))
    guest = stage.guest(guests.getpid_loop)
    stage.bounded(lambda: makes_calls(guest, 1))
    calls.clear()
    stage.bounded(lambda: makes_calls(guest, stage.trial.repeat))
    assert not calls, f"{len(calls)} runs of a SIGCHLD handler in {stage.trial.repeat} switches"
    child = os.fork()
    if child == 0:
        os._exit(0)
    stage.wait_until(lambda: calls, claim="the end of a child runs the handler")
    os.waitpid(child, 0)


@scenario("SG18", clauses=("seed.switchToApp", "gvisor de5a590ee"))
def an_event_keeps_what_it_said(stage: Stage) -> None:
    """The event of one switch is not changed by later switches, in the same context or in another."""
    guest, other = stage.guest(guests.read_at), stage.guest(guests.read_at)
    numbers = [number for number in range(1, 9) for _ in range(2)]
    events = stage.bounded(
        lambda: [reads(one, number * PAGE) for number, one in zip(numbers, itertools.cycle((guest, other)))]
    )
    assert [event.address for event in events if isinstance(event, Fault)] == [number * PAGE for number in numbers]


@scenario("SG19", clauses=("seed.wait", 'signal(7) "Interruption of system calls"'), quick=5, normal=10, soak=100)
def a_signal_to_the_tracing_thread_is_no_event(stage: Stage) -> None:
    """A handled signal to the thread that waits for its guest runs the handler and does not end the switch."""
    calls: list[int] = []
    signal.signal(signal.SIGUSR1, lambda signo, frame: calls.append(signo))
    with SignalSender() as other, Computing(stage) as guest:
        for number in range(stage.trial.repeat):
            tracer = guest.running.thread.native_id
            assert tracer is not None
            stage.wait_until(lambda: process_state(tracer) == "S", claim="the tracing thread waits")  # noqa: B023
            other.tgkill(os.getpid(), tracer, signal.SIGUSR1)
            stage.wait_until(lambda: len(calls) > number, claim="the handler runs")  # noqa: B023 (called at once)
            guest.is_undisturbed("a signal to the thread that traces it")
        guest.ends_when_interrupted()


@scenario("SG19", clauses=("seed.wait", 'signal(7) "Interruption of system calls"'), quick=4, normal=5, soak=100)
def a_handler_runs_while_the_main_thread_waits_for_a_guest(stage: Stage) -> None:
    """A Python handler runs while the main thread is in a switch, and can end it by an interrupt."""
    guest, rescued = stage.guest(guests.count_loop), threading.Event()

    def come_to_the_rescue() -> None:
        rescued.set()
        guest.context.interrupt()

    for _ in range(stage.trial.repeat):
        with timer_handler(guest) as handled:
            rescue = threading.Timer(stage.trial.seconds(2), come_to_the_rescue)
            rescue.start()
            event = guest.switch()
            rescue.cancel()
        in_time(not rescued.is_set(), "no Python handler ran in 2 s while a guest computed")
        assert handled
        assert event == Interrupted()


@pytest.mark.parametrize("resident", [False, True], ids=["default", "resident"])
@scenario(
    "SG19", clauses='signal(7) "Interruption of system calls"', quick=300, normal=3000, soak=100_000, deadline=240
)
def a_handler_that_raises_loses_nothing(stage: Stage, resident: bool) -> None:
    """An exception that a Python handler raises in a switch loses no call of the guest and repeats no event."""
    wanted = stage.trial.repeat // 100
    account = Alarmed(stage, stage.space(), resident=resident)
    account.run(1)  # the first switch makes a stub thread, which an exception may undo
    with account:
        account.run(stage.trial.repeat)
        while account.alarms < wanted:
            account.run(CALLS_A_ROUND)
    stage.trial.note(f"{account.alarms} exceptions in {account.calls} calls")
