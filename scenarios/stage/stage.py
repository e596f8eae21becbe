"""The fixture ``stage``: guests ready to run, memory shared with them, threads and bounded waits.

    @scenario("EX01", clauses="seed.switchToApp")
    def a_system_call_shows_its_arguments(stage: Stage) -> None:
        \"\"\"...\"\"\"
        guest = stage.guest(guests.getpid_loop, r12=0)
        assert guest.switch() == Syscall(Number.GETPID)

A claim that something does not hang uses `Stage.bounded` or `RunningGuest.result`, so that it fails by an assertion of
the scenario and not by the trial's outer deadline.  Any other bound of time is asserted by
`worldswitch.harness.verdict.in_time`, so that a starved machine excuses it.
"""

from __future__ import annotations

import mmap
import os
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, cast

import pytest

from worldswitch.harness.contract import (
    Access,
    AddressSpace,
    Context,
    Event,
    Inspectable,
    Options,
    Platform,
    PlatformFactory,
    State,
    Syscall,
)
from worldswitch.harness.verdict import in_time
from worldswitch.scenarios.guests import Program

PAGE = mmap.PAGESIZE

#: The address of an address space's first guest: it fits a 32-bit pointer and is above any mmap_min_addr.
FIRST_ADDRESS = 0x1000_0000

#: The sizes of a guest's data and stack.
DATA_SIZE = 4 * PAGE
STACK_SIZE = 4 * PAGE

Result = TypeVar("Result")
Kind = TypeVar("Kind", bound=Event)


class Trial(Protocol):
    """What the harness's plugin passes to each scenario as the fixture ``trial``."""

    @property
    def repeat(self) -> int:
        """The number of repetitions."""

    @property
    def seed(self) -> int:
        """The seed of everything random in this trial; `worldswitch run --seed` repeats it."""

    def platform(self, options: Options = ...) -> Platform:
        """A platform under test, closed at the end of the trial."""

    def seconds(self, seconds: float) -> float:
        """A deadline, scaled to this environment."""

    def note(self, text: str) -> None:
        """Add a line to the transcript."""


class InspectableAddressSpace(AddressSpace, Inspectable, Protocol):
    """An address space that can be inspected."""


class GuestPages:
    """A memory file that guests map and scenarios read and write like a bytearray."""

    def __init__(self, size: int, contents: bytes = b"") -> None:
        self.size = -(-size // PAGE) * PAGE
        self.fd = os.memfd_create("worldswitch-scenario")
        weakref.finalize(self, os.close, self.fd)
        os.ftruncate(self.fd, self.size)
        self._bytes = mmap.mmap(self.fd, self.size)
        self._words = memoryview(self._bytes).cast("Q")
        self._bytes[: len(contents)] = contents

    def __getitem__(self, place: slice) -> bytes:
        return self._bytes[place]

    def __setitem__(self, place: slice, contents: bytes) -> None:
        self._bytes[place] = contents

    def word(self, offset: int = 0) -> int:
        """Read the 8-byte word at `offset` atomically."""
        return self._words[offset // 8]

    def set_word(self, offset: int, value: int) -> None:
        """Write the 8-byte word at `offset` atomically."""
        self._words[offset // 8] = value


@dataclass(slots=True, eq=False)
class Guest:
    """A guest ready to run: a context and its state, in an address space that holds its code, data and stack."""

    stage: Stage
    program: Program
    platform: Platform
    space: AddressSpace
    context: Context
    state: State
    code: int
    data: GuestPages
    data_address: int
    stack: GuestPages
    stack_address: int

    def switch(self) -> Event:
        """Run until the next event, and note it in the transcript."""
        event = self.context.switch(self.space, self.state)
        self.stage.trial.note(f"{self.program.name}: switch() -> {event} at {self.state.pc:#x}")
        return event

    def run_to(self, kind: type[Kind]) -> Kind:
        """Run until the next event, which must be of this kind."""
        event = self.switch()
        assert isinstance(event, kind), f"the guest {self.program.name} returned {event}, not {kind.__name__}"
        return event

    def syscalls(self, count: int, result: int = 0) -> None:
        """Run through `count` system calls, each answered with `result`."""
        for _ in range(count):
            self.run_to(Syscall)
            self.state.result = result

    def enter(self, program: Program) -> int:
        """Map another program into the guest's address space and continue there; its address."""
        self.program = program
        self.state.pc = self.code = self.stage.load(program, self.space)
        return self.code


class RunningGuest(Generic[Result]):
    """A function that runs in its own thread."""

    def __init__(self, function: Callable[[], Result], trial: Trial) -> None:
        self._function = function
        self._trial = trial
        self._outcome: Result | BaseException | None = None
        self._failed = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self._outcome = self._function()
        except BaseException as error:
            self._outcome, self._failed = error, True

    @property
    def is_over(self) -> bool:
        """Whether the function has returned or raised, and its thread has ended."""
        return not self.thread.is_alive()

    def result(self, seconds: float = 5.0) -> Result:
        """What the function returned or raised; it must end within `seconds`."""
        self.thread.join(self._trial.seconds(seconds))
        in_time(self.is_over, f"still running after {seconds} s: {getattr(self._function, '__qualname__', '')}")
        if self._failed:
            raise cast(BaseException, self._outcome)
        return cast(Result, self._outcome)


class Stage:
    """Makes guests, address spaces and threads for one scenario; the trial ends those that remain."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self._platform: Platform | None = None
        self._images: dict[str, GuestPages] = {}
        self._next_address: dict[int, int] = {}
        self._spaces: list[AddressSpace] = []  # kept alive, so that ids of spaces are not reused

    # -------------------------------------------------------------------------------------------------------- platforms

    @property
    def platform(self) -> Platform:
        """The platform under test, with its default options."""
        if self._platform is None:
            self._platform = self.trial.platform()
        return self._platform

    def platform_with(self, **options: Any) -> Platform:
        """Another platform under test, with these `Options`."""
        return self.trial.platform(Options(**options))

    def short_lived(self, **options: Any) -> Platform:
        """Another platform with these `Options`; the caller must close it, and the trial does not keep it."""
        return cast(PlatformFactory, type(self.platform))(Options(**options))

    def space(self, platform: Platform | None = None) -> AddressSpace:
        """A new, empty address space."""
        return (platform or self.platform).new_address_space()

    def inspect(self, space: AddressSpace) -> InspectableAddressSpace:
        """`space` for inspection; a platform without that part does not support the scenario."""
        if not isinstance(space, Inspectable):
            pytest.skip("unsupported: this platform's address spaces are not Inspectable")
        return cast(InspectableAddressSpace, space)

    # ----------------------------------------------------------------------------------------------------------- guests

    def memory(self, size: int = DATA_SIZE, contents: bytes = b"") -> GuestPages:
        """A memory file, `size` rounded up to pages."""
        return GuestPages(size, contents)

    def place(self, space: AddressSpace, size: int) -> int:
        """An address where nothing is mapped, nor in the pages before and after."""
        if id(space) not in self._next_address:
            self._spaces.append(space)
        address = self._next_address.get(id(space), FIRST_ADDRESS)
        self._next_address[id(space)] = address + -(-size // PAGE) * PAGE + PAGE
        return address

    def map(
        self,
        space: AddressSpace,
        memory: GuestPages,
        access: Access = Access.READ | Access.WRITE,
        *,
        address: int | None = None,
        precommit: bool = False,
    ) -> int:
        """Map all of `memory`, at `address` or where there is space; its address."""
        address = self.place(space, memory.size) if address is None else address
        space.map_file(address, memory.fd, 0, memory.size, access, precommit)
        return address

    def load(self, program: Program, space: AddressSpace) -> int:
        """Map a program's code; its address."""
        if program.name not in self._images:
            self._images[program.name] = GuestPages(len(program.code), program.code)
        return self.map(space, self._images[program.name], Access.READ | Access.EXECUTE)

    def guest(
        self,
        program: Program,
        *,
        space: AddressSpace | None = None,
        context: Context | None = None,
        resident: bool = False,
        platform: Platform | None = None,
        **registers: int,
    ) -> Guest:
        """A guest that will run `program`, in a new address space and context unless given.

        Its ``rbx`` is the address of its data and its ``rsp`` the end of its stack, unless `registers` override them.
        """
        platform = platform or self.platform
        space = space or platform.new_address_space()
        data, stack = GuestPages(DATA_SIZE), GuestPages(STACK_SIZE)
        code = self.load(program, space)
        data_address, stack_address = self.map(space, data), self.map(space, stack)
        state = platform.new_state()
        for name, value in {"rip": code, "rsp": stack_address + stack.size, "rbx": data_address, **registers}.items():
            state[name] = value
        context = context or platform.new_context(resident=resident)
        return Guest(
            *(self, program, platform, space, context, state),
            *(code, data, data_address, stack, stack_address),
        )

    # ----------------------------------------------------------------------------------------------------------- bounds

    def thread(self, function: Callable[..., Result], *arguments: object) -> RunningGuest[Result]:
        """Run `function` in a new thread; the scenario must ask for its `result`."""
        return RunningGuest(lambda: function(*arguments), self.trial)

    def bounded(self, function: Callable[[], Result], seconds: float = 5.0) -> Result:
        """What `function` returns or raises, run in a thread; the scenario fails if it does not end in time."""
        return RunningGuest(function, self.trial).result(seconds)

    def wait_until(self, predicate: Callable[[], object], seconds: float = 5.0, claim: str = "") -> None:
        """Wait until `predicate` holds, which must happen within `seconds`."""
        end = time.monotonic() + self.trial.seconds(seconds)
        while not predicate():
            in_time(time.monotonic() < end, f"not within {seconds} s: {claim or predicate}")
            time.sleep(0.0005)


@pytest.fixture
def stage(trial: Trial) -> Stage:
    """The stage of this trial."""
    return Stage(trial)
