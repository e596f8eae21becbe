"""Snippets: random pieces of guest code, whose state goes round whatever they did.

A state that was read at an event is loaded by another context, on another thread and in another address space.  There
it must be what it was, and the next piece must do what it does where the state never left.

Seed: subprocess.switchToApp.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from worldswitch.harness.arch import registers
from worldswitch.harness.contract import Access, Event, Fault, Inspectable, Signal, State
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.stage.code_pieces import Layout, drawn, number
from worldswitch.scenarios.stage.pacing import dice
from worldswitch.scenarios.stage.stage import PAGE, Guest, Stage
from worldswitch.scenarios.stage.steady_guests import outcome_of

#: asm/processor-flags.h
TRAP_FLAG, RESUME_FLAG = 0x100, 0x1_0000

EXECUTABLE = Access.READ | Access.EXECUTE

#: The word of an XSAVE image that lists the components which are not initial: the processor may leave any out.
LIST = slice(512, 520)

#: What follows each piece: a system call with the registers as they are, and an invalid instruction.
UD2 = b"\x0f\x0b"
ENDING = b"\x0f\x05" + UD2

Seen = tuple[object, dict[str, int], bytes]


@scenario("EX21", clauses=("seed.switchToApp", "kernel.M7"), quick=300, normal=2000, soak=60_000, deadline=240)
def a_state_goes_round_whatever_the_guest_did(stage: Stage) -> None:
    """Whatever random code puts into its registers can be loaded again anywhere, and the code does the same there."""
    pair = _Pair(stage)
    for _ in range(stage.trial.repeat):
        if pair.random.random() < 0.2:
            pair.run_any_bytes()
        else:
            pair.run_a_piece()


class _Pair:
    """A guest here, and one with the same memory on another thread and in another address space."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.random = dice(stage)
        self.code = stage.memory(PAGE)
        landing = stage.memory(PAGE, UD2 * (PAGE // len(UD2)))
        self.here, self.there = stage.guest(guests.ud2), stage.guest(guests.ud2)
        for one in (self.here, self.there):
            self.begin, landed = (stage.map(one.space, memory, EXECUTABLE) for memory in (self.code, landing))
            self.layout = Layout(landed, one.data_address, one.stack_address + one.stack.size, _edges(one))
        assert self.here.code == self.there.code
        self.probe = stage.platform.new_context()
        self.elsewhere = ThreadPoolExecutor(1)
        self.state = self.here.state

    def run_a_piece(self) -> None:
        """Run one piece in both places, from the state that the last one left here."""
        piece = drawn(self.random, self.layout)
        steps = self._begin(piece)
        other = self._copy()
        seen = [self._seen(self.here, self.state) for _ in range(steps)]
        assert self._there(lambda: [self._seen(self.there, other) for _ in range(steps)]) == seen, piece.hex()
        self._check_round_trip(piece)

    def run_any_bytes(self) -> None:
        """Run some random bytes here, a few instructions: they may read a clock, so only their state is compared."""
        piece = self.random.randbytes(24)
        self._begin(piece)
        for _ in range(self.random.randrange(1, 8)):
            self.state["eflags"] |= TRAP_FLAG  # before each step: so no code can run on
            event = outcome_of(lambda: self.here.context.switch(self.here.space, self.state))
            assert isinstance(event, Event), f"{piece.hex()}: {event!r}"
        self._check_round_trip(piece)

    def _begin(self, piece: bytes) -> int:
        """Place a piece and the state before it; returns the number of events to run to."""
        random, state = self.random, self.state
        code = (piece + ENDING)[:PAGE]
        place = random.choice((0, PAGE - len(code), PAGE - len(piece), random.randrange(PAGE - len(code))))
        self.code[0:PAGE] = (bytes(place) + code).ljust(PAGE, b"\x0b")[:PAGE]
        state.pc = self.begin + place
        for name in registers.NAMES[:15]:
            if random.random() < 0.3:
                state[name] = number(random, self.layout)
        state["rsp"] = random.choice((self.layout.stack_end, self.layout.address(random)))
        state["eflags"] &= ~(TRAP_FLAG | RESUME_FLAG)
        if random.random() < 0.3:
            state["eflags"] |= TRAP_FLAG
        for memory in ("data", "stack"):
            pages = getattr(self.here, memory)
            getattr(self.there, memory)[0 : pages.size] = pages[0 : pages.size]
        return random.choice((1, 1, 3))

    def _copy(self) -> State:
        state = self.stage.platform.new_state()
        state.registers[:] = self.state.registers
        state.write_xstate(self.state.xstate)
        return state

    def _check_round_trip(self, piece: bytes) -> None:
        """Load the state elsewhere, at an instruction that changes nothing, and compare what is read back."""
        state = self._copy()
        state.pc, state["eflags"] = self.here.code, state["eflags"] & ~TRAP_FLAG
        event = self._there(lambda: outcome_of(lambda: self.probe.switch(self.there.space, state)))
        assert isinstance(event, Signal), f"{piece.hex()}: {event!r}"
        assert _known(state, "rip") == _known(self.state, "rip"), piece.hex()
        assert _vectors(state) == _vectors(self.state), piece.hex()

    def _there(self, function: Callable[[], object]) -> object:
        return self.elsewhere.submit(function).result(self.stage.trial.seconds(10))

    def _seen(self, guest: Guest, state: State) -> Seen:
        """What an observer of one switch can compare: a platform may tell accesses apart by what it saw before."""
        event = outcome_of(lambda: guest.context.switch(guest.space, state))
        if isinstance(event, Fault):
            event = Fault(event.signo, event.code, event.address, Access.NONE)
        return event if isinstance(event, Event) else repr(event), _known(state), _vectors(state)


def _known(state: State, *without: str) -> dict[str, int]:
    """The guest's registers; the resume flag is the processor's."""
    values = {name: state[name] for name in registers.GENERAL if name not in without}
    return {**values, "eflags": values["eflags"] & ~(RESUME_FLAG | TRAP_FLAG)}


def _vectors(state: State) -> bytes:
    image = bytearray(state.xstate)
    image[LIST] = bytes(8)
    return bytes(image)


def _edges(guest: Guest) -> tuple[int, ...]:
    """Addresses at the ends of what a guest may touch, or any program."""
    lowest, end = guest.platform.address_range
    stub = (guest.space.stub.begin, guest.space.stub.end) if isinstance(guest.space, Inspectable) else ()
    users = ((1 << 47) - PAGE, 1 << 47, (1 << 56) - PAGE, 1 << 63, 0xFFFF_8000_0000_0000, 0xFFFF_FFFF_FF60_0000, 0)
    own = (guest.code, guest.data_address, guest.data_address + guest.data.size, guest.stack_address + guest.stack.size)
    return (*own, lowest, end, *stub, *users)
