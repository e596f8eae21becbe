"""What benchmarks use: platforms, guests in address spaces, pinned threads, timers; the bench closes them all."""

from __future__ import annotations

import mmap
import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
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

#: The address of guests' code, and one where nothing is mapped.
CODE = 0x40_0000
NOTHING = 0x10_0000
DATA = 0x4000_0000

READ_EXECUTE = Access.READ | Access.EXECUTE
READ_WRITE = Access.READ | Access.WRITE

NANO = 1e-9

Unit: TypeAlias = Literal["second", "byte", "integer"]
Timer: TypeAlias = Callable[[int], float]
"""Takes a number of loops; returns their total, in the benchmark's unit."""


@contextmanager
def pinned() -> Iterator[None]:
    """Pin this thread and its future children to one CPU; restore the affinity at the end."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def timed_by_c(loop: Callable[[int], int]) -> Timer:
    """Return the timer of a C loop, which returns nanoseconds or a negated errno.  The timer raises OSError."""

    def timer(loops: int) -> float:
        spent = loop(loops)
        if spent < 0:
            raise OSError(-spent, os.strerror(-spent))
        return spent * NANO

    return timer


def timed_each(do: Callable[[], object], undo: Callable[[], object] = lambda: None) -> Timer:
    """Return the timer of `do`; `undo` runs after each call and is not timed."""

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
        """Run the guest until its next event."""
        return self.context.switch(self.space, self.state)


class Bench:
    """One process's platforms and guests; a context manager that closes them at exit."""

    def __init__(self, platform: str = "reference") -> None:
        self._factory = load_platform(platform)
        self._platforms: dict[Options, Platform] = {}
        self._codes: dict[str, int] = {}
        self.ending = ExitStack()

    def __enter__(self) -> Bench:
        """Note the CPU affinity, to restore it at exit."""
        # A platform that pins restores the affinity that it found, which may be that of a thread pinned for a moment.
        self.ending.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close everything, the newest first."""
        self.ending.close()

    def platform(self, options: Options | None = None) -> Platform:
        """Return this bench's platform with these options; make it on first use."""
        options = options or Options()
        if options not in self._platforms:
            self._platforms[options] = self.new_platform(options)
            self.ending.callback(self._platforms[options].close)
        return self._platforms[options]

    def new_platform(self, options: Options) -> Platform:
        """Return a new platform, which the caller must close.  Under real-time priority its guests have it too."""
        return self._factory(replace(options, keep_priority=True) if is_realtime() else options)

    def file(self, length: int, content: bytes = b"") -> int:
        """Return the descriptor of a memfd of `length` bytes that starts with `content`."""
        descriptor = os.memfd_create("benchmark")
        self.ending.callback(os.close, descriptor)
        os.ftruncate(descriptor, length)
        os.pwrite(descriptor, content, 0)
        return descriptor

    def guest(self, code: str, platform: Platform | None = None, *, resident: bool = True) -> BenchGuest:
        """Return a guest that runs the code of this name in a new address space; without `platform`, a pinned one."""
        platform = platform or self.platform(Options(placement=Placement.PIN))
        if code not in self._codes:
            self._codes[code] = self.file(mmap.PAGESIZE, guest_code(code))
        space = platform.new_address_space()
        space.map_file(CODE, self._codes[code], 0, mmap.PAGESIZE, READ_EXECUTE)
        state = platform.new_state()
        state.pc = CODE
        state["rbx"] = NOTHING
        return BenchGuest(platform, space, platform.new_context(resident=resident), state)


#: How long a thread with real-time priority may run without a wait, in microseconds.  Then the kernel kills it: a guest
#: that computes on each CPU would leave none to end it.
REALTIME_LIMIT = 20_000_000


def become_realtime() -> None:
    """Run this thread, and threads and processes that it creates, under SCHED_FIFO.  Raises OSError if it may not."""
    resource.setrlimit(resource.RLIMIT_RTTIME, (REALTIME_LIMIT, REALTIME_LIMIT))
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def is_realtime() -> bool:
    """Whether this thread runs under SCHED_FIFO."""
    return os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO


def guest_code(name: str) -> bytes:
    """Return the machine code of a guest of native.h."""
    begin, end = getattr(lib, f"guest_{name}_begin"), getattr(lib, f"guest_{name}_end")
    return bytes(ffi.buffer(begin, end - begin))


#: The system call number, from the guest's first instruction.
GETPID = guest_code("getpid")[1]

#: For each guest, a test that holds for all its events.
EVENTS: dict[str, Callable[[Event | None], bool]] = {
    "getpid": lambda event: isinstance(event, Syscall) and event.number == GETPID,
    "read": lambda event: isinstance(event, Fault) and event.address == NOTHING,
    "step": lambda event: isinstance(event, Signal),
}


class UnexpectedEvent(Exception):
    """The guest's event is not the one that the benchmark times."""


def check(event: Event | None, expected: str) -> None:
    """Raise `UnexpectedEvent` unless the event is one of guest `expected`: a dead guest would look fast."""
    if not EVENTS[expected](event):
        raise UnexpectedEvent(f"the guest's last event is {event}, which the guest {expected!r} does not cause")


def timed_switches(guest: BenchGuest) -> Timer:
    """Return the timer of switches to a guest that makes system calls; each switch passes it a result."""
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
    """Return the same timer with the calling thread pinned while it runs."""

    def pinned_timer(loops: int) -> float:
        with pinned():
            return timer(loops)

    return pinned_timer
