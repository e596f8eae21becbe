"""The storm: guests that keep accounts while everything at once happens around them, and the books must balance.

Foreign signals of all kinds rain on the process and on each thread of the stub, stops and continues among them; the
guests' contexts are interrupted all the time; and their tracing threads end one after the other.
"""

from __future__ import annotations

import random
import signal
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from worldswitch.harness.contract import AddressSpace, Interrupted, Platform
from worldswitch.scenarios import guests
from worldswitch.scenarios.catalogue import scenario
from worldswitch.scenarios.senders import STORM, Sender
from worldswitch.scenarios.stage import Stage
from worldswitch.scenarios.undisturbed import GETPID, Computing, in_a_thread_that_ends, outcome_of

#: After how many system calls a tracing thread ends, and how long the interrupting thread rests.
CALLS_A_THREAD = 50
INTERRUPT_PACE = 0.0005
#: Guests that share the stub, each with tracing threads of its own.
GUESTS = 2
#: The stub's leader, one thread for each guest and one each for injected calls, from the main thread and theirs.
THREADS = 1 + GUESTS + 1 + GUESTS


class Accounts:
    """A guest that plays `account_loop`, and what it must have in its books."""

    def __init__(
        self, stage: Stage, space: AddressSpace, *, resident: bool = False, platform: Platform | None = None
    ) -> None:
        self.guest = stage.guest(guests.account_loop, space=space, resident=resident, platform=platform)
        self.calls = 0
        self.answers = 0
        self.interrupts = 0

    def run(self, calls: int) -> None:
        """Answer so many system calls with random words, and check the books at the last."""
        end = self.calls + calls
        state = self.guest.state
        while True:
            event = self.switch()
            if event == Interrupted():
                self.interrupts += 1
                continue
            assert event == GETPID, f"after {self.calls} calls and {self.interrupts} interrupts: {event!r}"
            self.calls += 1
            if self.calls == end:
                self.balance()
            answer = random.getrandbits(64)
            self.answers = (self.answers + answer) % 2**64
            state.result = answer
            if self.calls == end:
                return

    def switch(self) -> object:
        """What one switch comes to."""
        return outcome_of(partial(self.guest.context.switch, self.guest.space, self.guest.state))

    def balance(self) -> None:
        """Compare what the guest counted and summed, in registers and in memory, with what it was given."""
        state, data = self.guest.state, self.guest.data
        lanes = struct.unpack("QQ", data[16:32])
        books = (state["r12"], data.word(0), *lanes, state["r13"], data.word(8))
        assert books == (*[self.calls] * 4, *[self.answers] * 2), f"after {self.interrupts} interrupts"


@contextmanager
def interrupting(stage: Stage, accounts: list[Accounts]) -> Iterator[None]:
    """As long as it lasts, interrupt the guests over and over."""
    over = threading.Event()

    def interrupt() -> None:
        while not over.wait(INTERRUPT_PACE):
            for account in accounts:
                account.guest.context.interrupt()

    thread = stage.thread(interrupt)
    try:
        yield
    finally:
        over.set()
        thread.result()


def weather_a_storm(stage: Stage, resident: bool) -> None:
    """Run guests through a storm, `repeat` calls in all, in threads that end, and see that nothing is left of them."""
    rounds = -(-stage.trial.repeat // (GUESTS * CALLS_A_THREAD))

    def in_many_threads(account: Accounts) -> None:
        for _ in range(rounds):
            in_a_thread_that_ends(stage, lambda: account.run(CALLS_A_THREAD), 20)

    with Sender() as other:
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
        assert len(stage.inspect(space).stub.tids) <= THREADS, "threads of the stub were left behind"


@scenario("SG12", clauses=("seed.switchToApp", "seed.W22"), quick=300, normal=3000, soak=10_000_000, deadline=3600)
def accounts_are_exact_in_a_storm(stage: Stage) -> None:
    """No foreign signal, stop, interrupt or ending thread costs a guest a call, a result or a register."""
    weather_a_storm(stage, resident=False)


@scenario("SG12", clauses=("seed.switchToApp", "seed.W25"), quick=300, normal=3000, soak=1_000_000, deadline=1200)
def accounts_of_resident_contexts_are_exact_in_a_storm(stage: Stage) -> None:
    """The same for contexts whose extended state stays in the stub's threads."""
    weather_a_storm(stage, resident=True)


@scenario("K32", clauses=("seed.switchToApp", "remoteprocess#83"), quick=100, normal=1000, soak=200_000, deadline=600)
def a_storm_of_one_ignored_signal_does_not_hold_a_guest_up(stage: Stage) -> None:
    """Ten thousand SIGURG a second, which nobody asked for, cost a guest time, but no call, and not its progress."""
    guest = stage.guest(guests.count_loop)
    account, stub = Accounts(stage, guest.space), stage.inspect(guest.space).stub
    with Sender() as other, other.storm(stub.pid, (signal.SIGURG,)), Computing(stage, guest) as computing:
        stage.bounded(partial(account.run, stage.trial.repeat), 10 + stage.trial.repeat / 500)
        for _ in range(10):
            computing.computes_on("a storm of SIGURG")
        computing.ends_when_interrupted()
