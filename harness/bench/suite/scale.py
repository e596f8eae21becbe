"""How time and memory scale with the number of idle tracees, tracing threads and address spaces."""

from __future__ import annotations

import resource
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from worldswitch.harness.arch import registers
from worldswitch.harness.bench.benchmark import Subject
from worldswitch.harness.bench.workbench import NANO, Bench, BenchGuest, Timer, check, on_one_cpu, timed_switches
from worldswitch.harness.contract import Inspectable, Options, Placement, Unavailable

#: Each in a process of its own, so that the tracees of one benchmark do not slow down the next.
SUBJECT = Subject(__file__, alone=True)

TRACEES = (1, 10, 100, 1000)
THREADS = (1, 2, 4, 8, 16)
SPACES = (1, 10, 50, 200)

KERNEL_STACK = 16 * 1024  # arch/x86/include/asm/page_64_types.h: THREAD_SIZE


def _guests(bench: Bench, count: int) -> list[BenchGuest]:
    """Guests that this thread has switched to once each, so that each has its own tracee."""
    platform = bench.platform(Options(placement=Placement.PIN))
    guests = [bench.guest("getpid", platform) for _ in range(count)]
    for guest in guests:
        check(guest.switch(), "getpid")
    return guests


@SUBJECT.series(TRACEES)
def tracees(bench: Bench, size: int) -> Timer:
    """A switch by a thread that traces N stub threads, all but one idle; resident, pinned.

    Timed: switch() of the active one.  Not timed: making the others, each in an address space of its own.
    """
    return on_one_cpu(timed_switches(_guests(bench, size)[-1]))


@SUBJECT.series(SPACES)
def spaces(bench: Bench, size: int) -> Timer:
    """A switch by a thread that visits N address spaces in turn, one switch in each; resident, pinned.

    Timed: switch(), each time of the next guest.  Not timed: making them.
    """
    guests = _guests(bench, size)
    calls = [(guest.context.switch, guest.space, guest.state) for guest in guests]
    result = registers.RESULT

    def timer(loops: int) -> float:
        rounds = -(-loops // size)
        begin = time.perf_counter_ns()
        for _ in range(rounds):
            for switch, space, state in calls:
                state.words[result] = 7
                switch(space, state)
        return (time.perf_counter_ns() - begin) * NANO * loops / (rounds * size)

    return on_one_cpu(timer)


@SUBJECT.series(THREADS)
def threads(bench: Bench, size: int) -> Timer:
    """A switch while N threads switch at once, each its own guest; resident, the stubs follow.

    Timed: all their switches, divided by their number.  Not timed: starting the threads, their first switch.
    """
    platform = bench.platform(Options(placement=Placement.FOLLOW))
    guests = [bench.guest("getpid", platform) for _ in range(size)]
    timers = [timed_switches(guest) for guest in guests]
    # One thread each; every wait for them is bounded by the session's deadline for this process.
    executors = [bench.ending.enter_context(ThreadPoolExecutor(1)) for _ in guests]

    def timer(loops: int) -> float:
        each = -(-loops // size)
        begin = time.perf_counter_ns()
        runs = [executor.submit(one, each) for executor, one in zip(executors, timers, strict=True)]
        for run in runs:
            run.result()
        return (time.perf_counter_ns() - begin) * NANO * loops / (each * size)

    return timer


@SUBJECT.series(SPACES, unit="byte", loops=1)
def memory(bench: Bench, size: int) -> Timer:
    """The memory of one of N address spaces, each with its guest's thread.

    Measured: the growth of this process, and of each stub its pages, its page tables and its threads' kernel stacks,
    divided by their number.  Not measured: the kernel's other data on a process.
    """
    bench.platform(Options(placement=Placement.PIN))
    before = _resident()
    guests = _guests(bench, size)
    own = max(_resident() - before, 0)
    spaces = [guest.space for guest in guests if isinstance(guest.space, Inspectable)]
    if len(spaces) != size:
        raise Unavailable("the platform does not say which processes its stubs are: it has no Inspectable part")
    stubs = _stubs([space.stub.pid for space in spaces])
    return lambda loops: loops * (own + stubs) / size


def _resident() -> int:
    """The resident memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _stubs(pids: Sequence[int]) -> int:
    """The memory of these processes, in bytes; shared pages count in proportion."""
    total = 0
    for pid in pids:
        status = dict(_fields(Path(f"/proc/{pid}/status")))
        shares = dict(_fields(Path(f"/proc/{pid}/smaps_rollup")))
        total += 1024 * (int(shares["Pss"]) + int(status["VmPTE"])) + KERNEL_STACK * int(status["Threads"])
    return total


def _fields(path: Path) -> list[tuple[str, str]]:
    """The fields of a /proc file with one field per line, without units."""
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return [(name, rest.split()[0]) for name, _, rest in lines if rest.split()]
