"""A guest that counts its calls and sums their results, to be compared with what it was given."""

from __future__ import annotations

import random
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from worldswitch.harness.contract import AddressSpace, Interrupted, Platform
from worldswitch.scenarios import guests
from worldswitch.scenarios.stage.stage import Stage
from worldswitch.scenarios.stage.steady_guests import GETPID, outcome_of

#: Seconds between two rounds of interrupts.
INTERRUPT_PACE = 0.0005


class Accounts:
    """A guest that runs `account_loop`, and the counts and sums it must have."""

    def __init__(
        self, stage: Stage, space: AddressSpace, *, resident: bool = False, platform: Platform | None = None
    ) -> None:
        self.guest = stage.guest(guests.account_loop, space=space, resident=resident, platform=platform)
        self.calls = 0
        self.answers = 0
        self.interrupts = 0

    def run(self, calls: int) -> None:
        """Answer `calls` system calls with random words, then compare the guest's counts and sums."""
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
                self.check()
            answer = random.getrandbits(64)
            self.answers = (self.answers + answer) % 2**64
            state.result = answer
            if self.calls == end:
                return

    def switch(self) -> object:
        """The outcome of one switch."""
        return outcome_of(partial(self.guest.context.switch, self.guest.space, self.guest.state))

    def check(self) -> None:
        """Compare the guest's counts and sums, in registers and in memory, with what it was given."""
        state, data = self.guest.state, self.guest.data
        lanes = struct.unpack("QQ", data[16:32])
        counts = (state["r12"], data.word(0), *lanes, state["r13"], data.word(8))
        assert counts == (*[self.calls] * 4, *[self.answers] * 2), f"after {self.interrupts} interrupts"


@contextmanager
def interrupting(stage: Stage, accounts: list[Accounts]) -> Iterator[None]:
    """Interrupt the guests over and over, until the block ends."""
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
