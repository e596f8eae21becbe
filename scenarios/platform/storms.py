"""Storms: guests that count their calls under signals, interrupts and ending threads, all at once.

Foreign signals of all kinds, stops and continues included, are sent to the process and each thread of the stub; the
guests' contexts are interrupted all the time; and their tracing threads end one after the other.
"""

from __future__ import annotations

import signal
from functools import partial

from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.stage.accounts import Accounts, interrupting
from worldswitch.scenarios.stage.senders import STORM, SignalSender
from worldswitch.scenarios.stage.stage import Stage
from worldswitch.scenarios.stage.steady_guests import Computing, in_a_thread_that_ends

#: The number of calls after which a tracing thread ends.
CALLS_A_THREAD = 50
#: Guests that share the stub, each with tracing threads of its own.
GUESTS = 2
#: The stub's leader, one thread for each guest, and one for injected calls of the main thread and each guest's thread.
THREADS = 1 + GUESTS + 1 + GUESTS


def weather_a_storm(stage: Stage, resident: bool) -> None:
    """Run guests through a storm, `repeat` calls in all, in threads that end; check that nothing is left."""
    rounds = -(-stage.trial.repeat // (GUESTS * CALLS_A_THREAD))

    def in_many_threads(account: Accounts) -> None:
        for _ in range(rounds):
            in_a_thread_that_ends(stage, lambda: account.run(CALLS_A_THREAD), 20)

    with SignalSender() as other:
        space = stage.space()
        stub = stage.inspect(space).stub
        accounts = [Accounts(stage, space, resident=resident) for _ in range(GUESTS)]
        with other.storm(stub.pid, STORM), interrupting(stage, accounts):
            for running in [stage.thread(in_many_threads, account) for account in accounts]:
                running.result(30 + stage.trial.repeat / 3000)
        for account in accounts:
            account.guest.context.interrupt()
            in_a_thread_that_ends(stage, partial(account.run, 1))
        stage.trial.note(f"interrupts: {[account.interrupts for account in accounts]}")
        assert all(account.interrupts > 0 for account in accounts), "an interrupt was lost in the storm"
        assert len(stage.inspect(space).stub.tids) <= THREADS, "threads of the stub are left"


@scenario("SG12", clauses=("seed.switchToApp", "seed.W22"), quick=300, normal=3000, soak=10_000_000, deadline=3600)
def accounts_are_exact_in_a_storm(stage: Stage) -> None:
    """In a storm of signals, stops, interrupts and ending threads, a guest loses no call, result or register."""
    weather_a_storm(stage, resident=False)


@scenario("SG12", clauses=("seed.switchToApp", "seed.W25"), quick=300, normal=3000, soak=1_000_000, deadline=1200)
def accounts_of_resident_contexts_are_exact_in_a_storm(stage: Stage) -> None:
    """In such a storm, a guest of a resident context loses no call, result or register."""
    weather_a_storm(stage, resident=True)


@scenario("K32", clauses=("seed.switchToApp", "remoteprocess#83"), quick=100, normal=1000, soak=200_000, deadline=600)
def a_storm_of_one_ignored_signal_does_not_hold_a_guest_up(stage: Stage) -> None:
    """Ten thousand SIGURG a second cost a guest no call and do not stop its progress."""
    guest = stage.guest(guests.count_loop)
    account, stub = Accounts(stage, guest.space), stage.inspect(guest.space).stub
    with SignalSender() as other, other.storm(stub.pid, (signal.SIGURG,)), Computing(stage, guest) as computing:
        stage.bounded(partial(account.run, stage.trial.repeat), 10 + stage.trial.repeat / 500)
        for _ in range(10):
            computing.computes_on("a storm of SIGURG")
        computing.ends_when_interrupted()
