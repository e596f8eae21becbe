"""Who plays when chaos reigns: guests that keep accounts and can be kept running, the address spaces they live in.

A `Player` runs `gate_loop`: as long as its gate is closed it runs and does not come back, which leaves time to strike;
then it makes its next call, which is its next *event*.  Its books show at each event whether it did everything once and
with the registers and the memory that are its own.  A `Home` is an address space that may be killed, lost with its
tracing thread, or given back while people live in it.
"""

from __future__ import annotations

import struct
from functools import partial

from worldswitch.harness.contract import AddressSpace, Busy, Death, Platform
from worldswitch.scenarios import guests
from worldswitch.scenarios.stage.stage import Guest, Stage
from worldswitch.scenarios.stage.stepped_threads import Actor, Deed, Hold

#: Where in its data a player has its two words for the gate, and one that nobody else has.
PROGRESS, GATE, SECRET = 64, 72, 80

MASK = 2**64 - 1


class Home:
    """An address space, and what was done to it."""

    def __init__(self, stage: Stage, platform: Platform) -> None:
        self._stage = stage
        self._platform = platform
        self.tenants: list[Player] = []
        self.causes: set[tuple[Death, int]] = set()  #: how it may be found dead
        self.is_killed = False  #: ... and must be
        self.is_dead = False
        self.is_released = False
        self.is_going = False  #: a release is under way, and may be refused
        self.is_told_gone = False  #: somebody was told meanwhile that it is released
        self.space: AddressSpace = platform.new_address_space()
        self.pid = stage.inspect(self.space).stub.pid

    @property
    def is_safe(self) -> bool:
        """Nothing was done that could end it."""
        return not (self.causes or self.is_dead or self.is_released)

    def may_say_released(self) -> bool:
        """Whether an operation may be refused because it is released; if that is not decided yet, it must come true."""
        self.is_told_gone |= self.is_going
        return self.is_released or self.is_going

    def release(self) -> None:
        """Give it back, unless that is refused because somebody runs there; then nobody was told that it is gone."""
        self.is_going, self.is_told_gone = True, False
        try:
            self.space.release()
            self.is_released = True
        except Busy:
            assert not self.is_told_gone, "an address space was said to be released, and the release was refused"
        finally:
            self.is_going = False

    def rebuild(self) -> None:
        """Have the tenants in another address space, everything at its old place, after this one was released."""
        self.space = self._platform.new_address_space()
        self.pid = self._stage.inspect(self.space).stub.pid
        self.is_released = False
        for player in self.tenants:
            player.move_in()


class Player:
    """A guest of a home, the thread that traces it, and its books."""

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
        self.is_owed = False  #: it was interrupted, and no switch has said so yet
        self.was_owed = False  #: ... before the last switch began
        self.has_hole = False  #: its data are unmapped
        self.had_hole = False  #: ... before the last switch began
        self.may_fault = False  #: ... at some moment of it
        home.tenants.append(self)

    def __str__(self) -> str:
        return f"guest {self.number}"

    # ----------------------------------------------------------------------------------------------------- the gate

    def close_gate(self) -> None:
        """Have it run from now on, and not come back."""
        self.guest.data.set_word(GATE, 1)

    def open_gate(self) -> None:
        """Let it make its next call."""
        self.guest.data.set_word(GATE, 0)

    @property
    def progress(self) -> int:
        """A number that grows as long as it runs."""
        return self.guest.data.word(PROGRESS)

    # --------------------------------------------------------------------------------------------------- what it does

    def switch(self, actor: Actor, hold: Hold | None = None) -> Deed:
        """Have it switched to."""
        return actor.tell(partial(self.guest.context.switch, self.guest.space, self.guest.state), hold)

    def answer(self) -> None:
        """Check the books at a call, and answer it."""
        self.calls += 1
        self.balance()
        word = (self.secret * self.calls) & MASK
        self.answers = (self.answers + word) & MASK
        self.guest.state.result = word

    def balance(self) -> None:
        """What it counted and summed, in registers and in memory, is what it was given; what it held, it holds."""
        state, data = self.guest.state, self.guest.data
        lanes = struct.unpack("QQ", data[16:32])
        books = {
            "calls counted in a register, in memory, in a vector": (state["r12"], data.word(0), *lanes),
            "the sum of the answers in a register, in memory": (state["r13"], data.word(8)),
            "its secret in a register, inverted in another one, in memory": (
                *(state["r14"], state["r15"] ^ MASK, data.word(SECRET)),
            ),
        }
        due = (self.calls,) * 4, (self.answers,) * 2, (self.secret,) * 3
        for (what, found), expected in zip(books.items(), due, strict=True):
            assert found == expected, f"{self} has wrong books: {what} are {found}, and should be {expected}"

    def owns(self, address: int) -> bool:
        """The address is in its data."""
        return 0 <= address - self.guest.data_address < self.guest.data.size

    def move_in(self) -> None:
        """Map all it has in its home, once more where it was."""
        stage, guest, home = self.stage, self.guest, self.home
        guest.space = home.space
        places = (stage.load(guest.program, home.space), *(stage.map(home.space, m) for m in (guest.data, guest.stack)))
        assert places == (guest.code, guest.data_address, guest.stack_address), "the stage places guests differently"
        self.has_hole = False
