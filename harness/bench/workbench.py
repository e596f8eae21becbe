"""What benchmarks are made with: platforms, guests in address spaces, threads on one CPU; all ended with the bench."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, TypeAlias

from worldswitch.harness.arch import registers
from worldswitch.harness.bench.native._native import ffi, lib
from worldswitch.harness.catalogue.platforms import load_platform
from worldswitch.harness.contract import (
    Access,
    AddressSpace,
    Context,
    Event,
    Fault,
    Options,
    Placement,
    Platform,
    Signal,
    State,
    Syscall,
)

#: Where guests' code is mapped, and where nothing is.
CODE = 0x40_0000
NOTHING = 0x10_0000
DATA = 0x4000_0000

READ_EXECUTE = Access.READ | Access.EXECUTE
READ_WRITE = Access.READ | Access.WRITE

NANO = 1e-9

Unit: TypeAlias = Literal["second", "byte", "integer"]
Timer: TypeAlias = Callable[[int], float]
"""What so many loops take, all together, in the benchmark's unit."""


@contextmanager
def pinned() -> Iterator[None]:
    """Keep this thread, and what it forks, on one CPU."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def timed_by_c(loop: Callable[[int], int]) -> Timer:
    """The timer of a C loop, which returns nanoseconds or a negated errno."""

    def timer(loops: int) -> float:
        spent = loop(loops)
        if spent < 0:
            raise OSError(-spent, os.strerror(-spent))
        return spent * NANO

    return timer


def timed_each(do: Callable[[], object], undo: Callable[[], object] = lambda: None) -> Timer:
    """The timer of something that is undone after each time; undoing is not timed."""

    def timer(loops: int) -> float:
        spent = 0
        for _ in range(loops):
            begin = time.perf_counter_ns()
            do()
            spent += time.perf_counter_ns() - begin
            undo()
        return spent * NANO

    return timer


@dataclass(frozen=True, slots=True)
class BenchGuest:
    """A guest that is ready to be switched to."""

    platform: Platform
    space: AddressSpace
    context: Context
    state: State

    def switch(self) -> Event:
        """Run it until its next event."""
        return self.context.switch(self.space, self.state)


class Bench:
    """One process's platforms and guests.  A context manager: leaving it closes all."""

    def __init__(self, platform: str = "reference") -> None:
        self._factory = load_platform(platform)
        self._platforms: dict[Options, Platform] = {}
        self._codes: dict[str, int] = {}
        self.ending = ExitStack()

    def __enter__(self) -> Bench:
        """Begin."""
        # A platform that pins hands back the CPUs that it found, which may have been pinned for a moment.
        self.ending.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything, the youngest first."""
        self.ending.close()

    def platform(self, options: Options | None = None) -> Platform:
        """The platform with these options; one a bench."""
        options = options or Options()
        if options not in self._platforms:
            self._platforms[options] = self.new_platform(options)
            self.ending.callback(self._platforms[options].close)
        return self._platforms[options]

    def new_platform(self, options: Options) -> Platform:
        """A platform that the caller closes."""
        return self._factory(options)

    def file(self, length: int, content: bytes = b"") -> int:
        """A file of so many bytes, to be mapped; its descriptor."""
        descriptor = os.memfd_create("benchmark")
        self.ending.callback(os.close, descriptor)
        os.ftruncate(descriptor, length)
        os.pwrite(descriptor, content, 0)
        return descriptor

    def guest(self, code: str, platform: Platform | None = None, *, resident: bool = True) -> BenchGuest:
        """A guest that runs the code of this name, in an address space of its own; by default pinned."""
        platform = platform or self.platform(Options(placement=Placement.PIN))
        if code not in self._codes:
            self._codes[code] = self.file(mmap.PAGESIZE, guest_code(code))
        space = platform.new_address_space()
        space.map_file(CODE, self._codes[code], 0, mmap.PAGESIZE, READ_EXECUTE)
        state = platform.new_state()
        state.pc = CODE
        state["rbx"] = NOTHING
        return BenchGuest(platform, space, platform.new_context(resident=resident), state)


def guest_code(name: str) -> bytes:
    """The code of a guest of native.h."""
    begin, end = getattr(lib, f"guest_{name}_begin"), getattr(lib, f"guest_{name}_end")
    return bytes(ffi.buffer(begin, end - begin))


#: The number stands in the guest's first instruction.
GETPID = guest_code("getpid")[1]

#: What a guest's every event is.
EVENTS: dict[str, Callable[[Event | None], bool]] = {
    "getpid": lambda event: isinstance(event, Syscall) and event.number == GETPID,
    "read": lambda event: isinstance(event, Fault) and event.address == NOTHING,
    "step": lambda event: isinstance(event, Signal),
}


class UnexpectedEvent(Exception):
    """A guest did something else than what was to be timed."""


def check(event: Event | None, expected: str) -> None:
    """Refuse to have timed a guest that did something else: a dead one is fast."""
    if not EVENTS[expected](event):
        raise UnexpectedEvent(f"the guest's last event is {event}, not one of the guest {expected!r}")


def timed_switches(guest: BenchGuest) -> Timer:
    """The timer of switches to a guest that makes system calls, each with a result for it."""
    switch, space, state = guest.context.switch, guest.space, guest.state
    words, result = state.words, registers.RESULT

    def timer(loops: int) -> float:
        event: Event | None = None
        begin = time.perf_counter_ns()
        for _ in range(loops):
            words[result] = 7
            event = switch(space, state)
        spent = time.perf_counter_ns() - begin
        check(event, "getpid")
        return spent * NANO

    return timer


def on_one_cpu(timer: Timer) -> Timer:
    """The same with the calling thread pinned meanwhile."""

    def pinned_timer(loops: int) -> float:
        with pinned():
            return timer(loops)

    return pinned_timer
