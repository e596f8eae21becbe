"""Guests that check their own calls and can be kept running, and the address spaces they live in.

An `AccountingGuest` runs `gate_loop`: while its gate is closed it runs and does not return, which leaves time to
strike; then it makes its next call, its next *event*.  Its counts show at each event whether every call happened once,
with its own registers and memory.  A `Home` is an address space that may be killed, lost with its tracing thread, or
released while guests live in it.
"""

from __future__ import annotations

import struct
from functools import partial

from worldswitch.harness.contract import AddressSpace, Busy, Death, Platform
from worldswitch.scenarios import guests
from worldswitch.scenarios.stage.stage import Guest, Stage
from worldswitch.scenarios.stage.stepped_threads import Hold, SteppedThread, Task

#: Offsets in a guest's data of the gate's two words and of a word that no other guest has.
PROGRESS, GATE, SECRET = 64, 72, 80

MASK = 2**64 - 1


class Home:
    """An address space, and what was done to it."""

    def __init__(self, stage: Stage, platform: Platform) -> None:
        self._stage = stage
        self._platform = platform
        self.targets: list[AccountingGuest] = []
        self.causes: set[tuple[Death, int]] = set()  #: the permitted causes of death
        self.is_killed = False  #: ... and it must die
        self.is_dead = False
        self.is_released = False
        self.is_going = False  #: a release is in progress, and may be refused
        self.is_told_gone = False  #: meanwhile an operation was refused as released
        self.space: AddressSpace = platform.new_address_space()
        self.pid = stage.inspect(self.space).stub.pid

    @property
    def is_safe(self) -> bool:
        """Nothing was done that could end it."""
        return not (self.causes or self.is_dead or self.is_released)

    def may_say_released(self) -> bool:
        """Whether an operation may fail as `Released`; during a release, that release must then succeed."""
        self.is_told_gone |= self.is_going
        return self.is_released or self.is_going

    def release(self) -> None:
        """Release it; the platform may refuse with `Busy` unless another operation already failed as `Released`."""
        self.is_going, self.is_told_gone = True, False
        try:
            self.space.release()
            self.is_released = True
        except Busy:
            assert not self.is_told_gone, "an operation failed as Released, and the release was refused"
        finally:
            self.is_going = False

    def rebuild(self) -> None:
        """Move the guests to a new address space, at the same addresses, after this one was released."""
        self.space = self._platform.new_address_space()
        self.pid = self._stage.inspect(self.space).stub.pid
        self.is_released = False
        for target in self.targets:
            target.map_in_home()


class AccountingGuest:
    """A guest of a home, and the counts it must have."""

    def __init__(self, stage: Stage, platform: Platform, home: Home, number: int, *, resident: bool) -> None:
        secret = hash((number, id(self))) & MASK
        self.guest: Guest = stage.guest(guests.gate_loop, space=home.space, platform=platform, resident=resident)
        self.guest.state["r14"], self.guest.state["r15"] = secret, secret ^ MASK
        self.guest.data.set_word(SECRET, secret)
        self.stage = stage
        self.home = home
        self.number = number
        self.is_resident = resident
        self.secret = secret
        self.calls = 0
        self.answers = 0
        self.was_interrupted = False  #: ever
        self.is_owed = False  #: an interrupt that no switch has returned yet
        self.was_owed = False  #: ... before the last switch began
        self.has_hole = False  #: its data are unmapped
        self.had_hole = False  #: ... before the last switch began
        self.may_fault = False  #: ... at some moment of it
        home.targets.append(self)

    def __str__(self) -> str:
        return f"guest {self.number}"

    # --------------------------------------------------------------------------------------------------------- the gate

    def close_gate(self) -> None:
        """Make the guest run from now on without returning."""
        self.guest.data.set_word(GATE, 1)

    def open_gate(self) -> None:
        """Let the guest make its next call."""
        self.guest.data.set_word(GATE, 0)

    @property
    def progress(self) -> int:
        """A number that grows while the guest runs."""
        return self.guest.data.word(PROGRESS)

    # ----------------------------------------------------------------------------------------------------- what it does

    def switch(self, thread: SteppedThread, hold: Hold | None = None) -> Task:
        """Switch to the guest, on `thread`."""
        return thread.run(partial(self.guest.context.switch, self.guest.space, self.guest.state), hold)

    def answer(self) -> None:
        """Check the counts at a call, and answer it."""
        self.calls += 1
        self.check()
        word = (self.secret * self.calls) & MASK
        self.answers = (self.answers + word) & MASK
        self.guest.state.result = word

    def check(self) -> None:
        """Compare the guest's counts, sums and secrets, in registers and in memory, with what it was given."""
        state, data = self.guest.state, self.guest.data
        lanes = struct.unpack("QQ", data[16:32])
        counts = {
            "calls counted in a register, in memory, in a vector": (state["r12"], data.word(0), *lanes),
            "the sum of the answers in a register, in memory": (state["r13"], data.word(8)),
            "its secret in a register, inverted in another one, in memory": (
                *(state["r14"], state["r15"] ^ MASK, data.word(SECRET)),
            ),
        }
        due = (self.calls,) * 4, (self.answers,) * 2, (self.secret,) * 3
        for (what, found), expected in zip(counts.items(), due, strict=True):
            assert found == expected, f"{self}: {what} are {found}, and should be {expected}"

    def owns(self, address: int) -> bool:
        """Whether the address is in its data."""
        return 0 <= address - self.guest.data_address < self.guest.data.size

    def map_in_home(self) -> None:
        """Map its code, data and stack in its home, at the old addresses."""
        stage, guest, home = self.stage, self.guest, self.home
        guest.space = home.space
        places = (stage.load(guest.program, home.space), *(stage.map(home.space, m) for m in (guest.data, guest.stack)))
        assert places == (guest.code, guest.data_address, guest.stack_address), "the stage placed the guest elsewhere"
        self.has_hole = False
