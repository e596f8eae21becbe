"""Stop signals and group-stops: they belong to the host, and neither show to a guest nor stop it.

A tracer meets SIGSTOP in three shapes: as a signal, as the group-stop that a sibling thread took, and as the residue of
attaching.  None is the guest's.  A *parked* stub thread is one whose tracing thread ended: it is untraced, and yet no
signal may kill it or let it run into the guest.
"""

from __future__ import annotations

import signal
from functools import partial

from worldswitch.harness.contract import Interrupted
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.stage.processes import process_state, threads_of
from worldswitch.scenarios.stage.senders import CATCHABLE, STOPS, SignalSender, untaken
from worldswitch.scenarios.stage.stage import Guest, Stage
from worldswitch.scenarios.stage.steady_guests import Computing, in_a_thread_that_ends, is_traced, makes_calls


@scenario("SG01", clauses=("seed.I13", "seed.switchToApp", "seed.W8", 'ptrace(2) "Group-stop"'), normal=5, soak=200)
def a_sigstop_neither_shows_nor_stops_a_guest(stage: Stage) -> None:
    """SIGSTOP, to the stub or to the guest's thread, neither ends the switch nor stops the guest."""
    with SignalSender() as other, Computing(stage) as guest:
        for _ in range(stage.trial.repeat):
            other.kill(guest.pid, signal.SIGSTOP)
            guest.is_undisturbed("SIGSTOP to the process")
            other.tgkill(guest.pid, guest.tid, signal.SIGSTOP)
            guest.is_undisturbed("SIGSTOP to the thread")
        guest.ends_when_interrupted()


@scenario("SG01", clauses=("seed.switchToApp", 'ptrace(2) "Group-stop"'), quick=10, normal=50, soak=2000)
def a_sigstop_between_system_calls_is_not_an_event(stage: Stage) -> None:
    """A SIGSTOP before each switch is no event between a guest's system calls."""
    with SignalSender() as other:
        guest = stage.guest(guests.getpid_loop)
        stub = stage.inspect(guest.space).stub

        def stop_and_go() -> None:
            for _ in range(stage.trial.repeat):
                other.kill(stub.pid, signal.SIGSTOP)
                makes_calls(guest, 2)

        stage.bounded(stop_and_go, 15)


@scenario("SG02", "K29", clauses=("seed.switchToApp", "kernel.S8", 'ptrace(2) "Group-stop"'), normal=5, soak=100)
def a_group_stop_of_sibling_threads_is_ignored(stage: Stage) -> None:
    """A guest runs, and others start, while threads of its stub that run no guest are in a group-stop."""
    with SignalSender() as other:
        guest = stage.guest(guests.count_loop)
        in_a_thread_that_ends(stage, lambda: makes_calls(stage.guest(guests.getpid_loop, space=guest.space), 1))
        with Computing(stage, guest) as computing:
            for _ in range(stage.trial.repeat):
                stop_siblings(stage, other, computing)
                sibling = stage.guest(guests.getpid_loop, space=guest.space)
                in_a_thread_that_ends(stage, partial(makes_calls, sibling, 3))
                computing.is_undisturbed("a thread that began and ended in a group-stop")
                other.kill(computing.pid, signal.SIGCONT)
                computing.is_undisturbed("the end of a group-stop")
            computing.ends_when_interrupted()


def stop_siblings(stage: Stage, other: SignalSender, computing: Computing) -> None:
    """Send SIGSTOP to each thread of the stub except the guest's, and wait until the untraced ones stop."""
    siblings = [tid for tid in threads_of(computing.pid) if tid != computing.tid]
    for tid in siblings:
        other.tgkill(computing.pid, tid, signal.SIGSTOP)
    parked = [tid for tid in siblings if not is_traced(tid)]
    stage.trial.note(f"SIGSTOP to {siblings}, of which {parked} are parked: {threads_of(computing.pid)}")
    stage.wait_until(
        lambda: all(process_state(tid) == "T" or not untaken(computing.pid, tid) for tid in parked),
        claim=f"the SIGSTOP was taken by {parked}",
    )
    computing.is_undisturbed("a group-stop of its siblings")


@scenario("SG03", clauses=("seed.attach", "kernel.S6", "kernel.S7"), quick=3, normal=20, soak=500, deadline=60)
def a_threads_first_switch_begins_in_the_guest(stage: Stage) -> None:
    """The first event of a guest on any thread is its own, whatever stops attaching leaves behind."""
    for _ in range(stage.trial.repeat):
        space = stage.space()
        for _ in range(3):
            guest = stage.guest(guests.getpid_loop, space=space)
            in_a_thread_that_ends(stage, partial(makes_calls, guest, 2))
        space.release()


@scenario("SG04", clauses=("seed.W8", 'ptrace(2) "Group-stop"'), normal=5, soak=100)
def no_stop_signal_shows_or_stops_a_guest(stage: Stage) -> None:
    """SIGTSTP, SIGTTIN and SIGTTOU, to any thread of the stub, neither end a switch nor stop the guest."""
    with SignalSender() as other:
        guest = stage.guest(guests.count_loop)
        in_a_thread_that_ends(stage, lambda: makes_calls(stage.guest(guests.getpid_loop, space=guest.space), 1))
        with Computing(stage, guest) as computing:
            for signo in STOPS * stage.trial.repeat:
                other.kill(computing.pid, signo)
                for tid in threads_of(computing.pid):
                    other.tgkill(computing.pid, tid, signo)
                computing.is_undisturbed(signal.Signals(signo).name)
            computing.ends_when_interrupted()
        stage.bounded(lambda: makes_calls(stage.guest(guests.getpid_loop, space=guest.space), 3))


@scenario(
    "SG05", "K28", "K30", clauses=("seed.W21", "kernel.S9", "ptrace(2) PTRACE_DETACH"), quick=4, normal=5, soak=100
)
def a_parked_thread_neither_runs_nor_dies_by_signals(stage: Stage) -> None:
    """No signal kills a parked stub thread or lets it run the guest, and the next tracing thread can use it."""
    with SignalSender() as other:
        guest = stage.guest(guests.count_loop)
        stub = stage.inspect(guest.space).stub
        for _ in range(stage.trial.repeat):
            in_a_thread_that_ends(stage, lambda: computes_for_a_while(stage, guest))
            count, tids = guest.data.word(), list(threads_of(stub.pid))
            pelt(other, stub.pid, tids)
            await_effect(stage, stub.pid, tids)
            assert list(threads_of(stub.pid)) == tids, f"threads of the stub ended: {tids} -> {threads_of(stub.pid)}"
            assert guest.data.word() == count, "a guest ran without a switch"
        with Computing(stage, guest) as computing:
            computing.is_undisturbed("signals sent while it was untraced")
            assert list(threads_of(stub.pid)) == tids, "its thread was not reused"
            computing.ends_when_interrupted()


def computes_for_a_while(stage: Stage, guest: Guest) -> None:
    """Switch to a computing guest in this thread, until another thread interrupts it."""
    count = guest.data.word()

    def interrupt() -> None:
        stage.wait_until(lambda: guest.data.word() > count, claim="the guest computes")
        guest.context.interrupt()

    interrupting = stage.thread(interrupt)
    assert guest.switch() == Interrupted()
    interrupting.result()


def await_effect(stage: Stage, pid: int, tids: list[int]) -> None:
    """Wait until these threads have taken the signals that they do not block."""
    stage.wait_until(
        lambda: not any(untaken(pid, tid) for tid in tids if not is_traced(tid)), claim="signals are taken"
    )


def pelt(other: SignalSender, pid: int, tids: list[int]) -> None:
    """Send all signals except SIGKILL, with SIGCONT first and last, to the process and each of its threads."""
    for signo in (signal.SIGCONT, *CATCHABLE, signal.SIGSTOP, signal.SIGCONT):
        other.kill(pid, signo)
        for tid in tids:
            other.tgkill(pid, tid, signo)


@scenario("K27", clauses=("seed.attach", "seed.clone", "kernel.S9"), quick=20, normal=100, soak=5000, deadline=150)
def a_burst_of_continues_keeps_nobody_from_attaching(stage: Stage) -> None:
    """Under continuous SIGCONT each tracing thread attaches to its stub thread, new or parked, in time."""
    with SignalSender() as other:
        pair = [stage.guest(guests.getpid_loop, space=space) for space in [stage.space()] for _ in range(2)]
        with other.storm(stage.inspect(pair[0].space).stub.pid, (signal.SIGCONT,)):
            for _ in range(stage.trial.repeat):
                for running in [stage.thread(makes_calls, guest, 1) for guest in pair]:
                    running.result()


#: The kernel's results for calls that it would restart (include/linux/errno.h).
RESTARTS = (512, 513, 514, 516)


@scenario("K18", clauses=("seed.W14", "kernel.R2", "kernel.R4"), normal=5, soak=200)
def a_thread_that_waited_restarts_nothing_of_its_guests(stage: Stage) -> None:
    """A parked stub thread begins where its guest is, even if the guest's result looks like a restart code."""
    guest = stage.guest(guests.getpid_loop)
    for code in RESTARTS * stage.trial.repeat:
        guest.state.result = 2**64 - code
        in_a_thread_that_ends(stage, partial(makes_calls, guest, 2))


@scenario("SG06", clauses=("seed.switchToApp", "kernel.S9"), quick=2000, normal=5000, soak=100_000, deadline=150)
def a_storm_of_stops_and_continues_changes_no_result(stage: Stage) -> None:
    """Under continuous SIGSTOP and SIGCONT each system call of a guest is reported once and gets its result."""
    with SignalSender() as other:
        guest = stage.guest(guests.getpid_loop)
        with other.storm(stage.inspect(guest.space).stub.pid, (signal.SIGSTOP, signal.SIGCONT)):
            stage.bounded(lambda: makes_calls(guest, stage.trial.repeat), seconds_for(stage.trial.repeat))


def seconds_for(switches: int) -> float:
    """Seconds allowed for so many switches under a storm: a millisecond each, and some to begin with."""
    return 10 + switches / 1000
