"""The cost of a switch: into a guest, up to its next event, and back out with its state."""

from __future__ import annotations

import time
from collections.abc import Callable

from worldswitch.harness.arch import registers
from worldswitch.harness.bench.benchmark import Subject
from worldswitch.harness.bench.workbench import (
    GETPID,
    NANO,
    Bench,
    BenchGuest,
    Timer,
    check,
    on_one_cpu,
    timed_switches,
)
from worldswitch.harness.contract import Event, Options, Placement
from worldswitch.harness.flight import Recorder

SUBJECT = Subject(__file__)

TRAP_FLAG = 0x100  # asm/processor-flags.h: X86_EFLAGS_TF


def pinned_guest(bench: Bench, code: str, *, resident: bool = True) -> BenchGuest:
    """Return a guest pinned to the CPU of its tracer."""
    return bench.guest(code, bench.platform(Options(placement=Placement.PIN)), resident=resident)


@SUBJECT.timed()
def resident_pinned(bench: Bench) -> Timer:
    """A system call's round trip, the extended state left in the stub thread; tracer and stub pinned to one CPU.

    Timed: switch() in Python, from one system call of the guest to the next, with a result for it each time.
    Not timed: making the platform, the address space and the first switch.
    """
    return on_one_cpu(timed_switches(pinned_guest(bench, "getpid")))


@SUBJECT.timed()
def default_pinned(bench: Bench) -> Timer:
    """A system call's round trip, the extended state read back but not changed; pinned.

    Timed and not timed: as `resident_pinned`.
    """
    return on_one_cpu(timed_switches(pinned_guest(bench, "getpid", resident=False)))


@SUBJECT.timed()
def changed_xstate(bench: Bench) -> Timer:
    """A system call's round trip, the extended state read back, changed and loaded again each time; pinned.

    Timed: as `resident_pinned`, and State.write_xstate.  Not timed: as there.
    """
    guest = pinned_guest(bench, "getpid", resident=False)
    switch, space, state = guest.context.switch, guest.space, guest.state

    def timer(loops: int) -> float:
        event: Event | None = None
        image = bytes(state.xstate)
        begin = time.perf_counter_ns()
        for _ in range(loops):
            state.write_xstate(image)
            event = switch(space, state)
        spent = time.perf_counter_ns() - begin
        check(event, "getpid")
        return spent * NANO

    return on_one_cpu(timer)


@SUBJECT.timed()
def dispatched(bench: Bench) -> Timer:
    """A system call's round trip with a sandbox's minimal dispatch: six arguments, a table, a result; pinned.

    Timed: as `resident_pinned`, State.arguments, a look-up and the handler's call.  Not timed: as there.
    """
    guest = pinned_guest(bench, "getpid")
    switch, space, state = guest.context.switch, guest.space, guest.state
    handlers: dict[int, Callable[..., int]] = {GETPID: lambda a, b, c, d, e, f: 7}
    words, result = state.words, registers.RESULT

    def timer(loops: int) -> float:
        begin = time.perf_counter_ns()
        for _ in range(loops):
            event = switch(space, state)
            words[result] = handlers[event.number](*state.arguments)  # type: ignore[union-attr]
        return (time.perf_counter_ns() - begin) * NANO

    return on_one_cpu(timer)


@SUBJECT.timed()
def recorded(bench: Bench) -> Timer:
    """A system call's round trip with the flight recorder on, as in every trial; resident, pinned.

    Timed and not timed: as `resident_pinned`.
    """
    platform = bench.new_platform(Options(placement=Placement.PIN, recorder=Recorder()))
    bench.ending.callback(platform.close)
    return on_one_cpu(timed_switches(bench.guest("getpid", platform)))


@SUBJECT.timed()
def single_step(bench: Bench) -> Timer:
    """One instruction: a switch with the trap flag set, up to the SIGTRAP; pinned.

    Timed: switch() and setting the flag.  Not timed: as `resident_pinned`.
    """
    guest = pinned_guest(bench, "spin")
    switch, space, state = guest.context.switch, guest.space, guest.state
    words, flags = state.words, registers.INDEX["eflags"]

    def timer(loops: int) -> float:
        event: Event | None = None
        begin = time.perf_counter_ns()
        for _ in range(loops):
            words[flags] |= TRAP_FLAG
            event = switch(space, state)
        spent = time.perf_counter_ns() - begin
        check(event, "step")
        return spent * NANO

    return on_one_cpu(timer)


@SUBJECT.timed()
def fault(bench: Bench) -> Timer:
    """A page fault and the resumption after it: the guest reads where nothing is mapped; pinned.

    Timed: switch(), from one fault to the next.  Not timed: handling the fault, and as `resident_pinned`.
    """
    guest = pinned_guest(bench, "read")
    switch, space, state = guest.context.switch, guest.space, guest.state

    def timer(loops: int) -> float:
        event: Event | None = None
        begin = time.perf_counter_ns()
        for _ in range(loops):
            event = switch(space, state)
        spent = time.perf_counter_ns() - begin
        check(event, "read")
        return spent * NANO

    return on_one_cpu(timer)


@SUBJECT.timed()
def resident_follow(bench: Bench) -> Timer:
    """A system call's round trip, not pinned: the stub follows its tracer; resident.

    Timed and not timed: as `resident_pinned`.
    """
    return timed_switches(bench.guest("getpid", bench.platform(Options(placement=Placement.FOLLOW))))


@SUBJECT.timed()
def default_follow(bench: Bench) -> Timer:
    """A system call's round trip with default options: not resident, the stub follows.

    Timed and not timed: as `resident_pinned`.
    """
    return timed_switches(bench.guest("getpid", bench.platform(Options()), resident=False))


@SUBJECT.timed()
def resident_free(bench: Bench) -> Timer:
    """A system call's round trip with the stub placed by the scheduler, mostly on another CPU; resident.

    Timed and not timed: as `resident_pinned`.
    """
    return timed_switches(bench.guest("getpid", bench.platform(Options(placement=Placement.FREE))))
