"""The counted process: prepares an operation, waits for a line, then repeats the operation between marks."""

from __future__ import annotations

import mmap
import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from worldswitch.harness.arch import registers
from worldswitch.harness.bench.suite.switch import TRAP_FLAG
from worldswitch.harness.bench.workbench import DATA, GETPID, READ_WRITE, Bench, BenchGuest, become_realtime, pinned
from worldswitch.harness.contract import AddressSpace, Inspectable, Options, Placement, Platform, Unavailable

Operation = Callable[[], object]

#: Repetitions for the count of context switches, before this process is traced.
UNWATCHED = 500


def _guest(bench: Bench, code: str = "getpid", *, resident: bool = True) -> BenchGuest:
    return bench.guest(code, bench.platform(Options(placement=Placement.PIN)), resident=resident)


def _space(bench: Bench) -> AddressSpace:
    return bench.platform(Options(placement=Placement.PIN)).new_address_space()


def _answered(guest: BenchGuest) -> Operation:
    """A switch that passes the guest a new result each time."""
    words, results = guest.state.words, iter(range(1, 1 << 30))

    def operation() -> None:
        words[registers.RESULT] = next(results)
        guest.switch()

    return operation


def resident(bench: Bench) -> Operation:
    """A system call's round trip, the extended state left in the stub thread."""
    return _answered(_guest(bench))


def default(bench: Bench) -> Operation:
    """A system call's round trip, the extended state read back."""
    return _answered(_guest(bench, resident=False))


def changed_xstate(bench: Bench) -> Operation:
    """A system call's round trip, the extended state read back and loaded."""
    guest = _guest(bench, resident=False)
    switch = _answered(guest)

    def operation() -> None:
        guest.state.write_xstate(bytes(guest.state.xstate))
        switch()

    return operation


def changed_registers(bench: Bench) -> Operation:
    """A system call's round trip that changes another register as well as the result."""
    guest = _guest(bench)
    switch = _answered(guest)

    def operation() -> None:
        guest.state["rbx"] += 1
        switch()

    return operation


def single_step(bench: Bench) -> Operation:
    """One instruction."""
    guest = _guest(bench, "spin")

    def operation() -> None:
        guest.state["eflags"] |= TRAP_FLAG
        guest.switch()

    return operation


def fault(bench: Bench) -> Operation:
    """A page fault."""
    return _guest(bench, "read").switch


def inject(bench: Bench) -> Operation:
    """An injected system call."""
    space = _space(bench)
    if not isinstance(space, Inspectable):
        raise Unavailable("the platform cannot inject: it has no Inspectable part")
    injecting = space.inject
    return lambda: injecting(GETPID)


def map_file(bench: Bench) -> Operation:
    """A page mapped."""
    space, file = _space(bench), bench.file(mmap.PAGESIZE)
    return lambda: space.map_file(DATA, file, 0, mmap.PAGESIZE, READ_WRITE)


def unmap(bench: Bench) -> Operation:
    """A page unmapped; none is mapped, but the calls are the same."""
    space = _space(bench)
    return lambda: space.unmap(DATA, mmap.PAGESIZE)


def recycled(bench: Bench) -> Operation:
    """An address space made of a pooled stub, and released into the pool."""
    platform = bench.platform(Options(placement=Placement.PIN))
    return lambda: platform.new_address_space().release()


def _without_a_pool(bench: Bench) -> Platform:
    """A platform that makes each address space in a new stub, and ends the stub at its release."""
    platform = bench.new_platform(Options(placement=Placement.PIN, pool_limit=0))
    bench.ending.callback(platform.close)
    platform.new_address_space().release()  # the one that it may keep in reserve
    return platform


def born(bench: Bench) -> Operation:
    """An address space in a new stub, which its release ends."""
    platform = _without_a_pool(bench)
    return lambda: platform.new_address_space().release()


def first_switch(bench: Bench) -> Operation:
    """The same, with the first switch of a thread in between: to nowhere, which faults."""
    platform = _without_a_pool(bench)
    context = platform.new_context()

    def operation() -> None:
        space = platform.new_address_space()
        context.switch(space, platform.new_state())
        space.release()

    return operation


def first_map(bench: Bench) -> Operation:
    """The same, with the first page that a thread maps in between."""
    platform, file = _without_a_pool(bench), bench.file(mmap.PAGESIZE)

    def operation() -> None:
        space = platform.new_address_space()
        space.map_file(DATA, file, 0, mmap.PAGESIZE, READ_WRITE)
        space.release()

    return operation


def interrupted(bench: Bench) -> Operation:
    """A switch that an earlier interrupt prevents."""
    guest = _guest(bench)
    guest.switch()

    def operation() -> None:
        guest.context.interrupt()
        guest.context.switch(guest.space, guest.state)

    return operation


def foreign_signal(bench: Bench) -> Operation:
    """A system call's round trip, with a signal of another process on the way."""
    guest = _guest(bench)
    if not isinstance(guest.space, Inspectable):
        raise Unavailable("the platform cannot tell its stub: it has no Inspectable part")
    pid, switch = guest.space.stub.pid, _answered(guest)

    def operation() -> None:
        os.kill(pid, signal.SIGUSR2)
        switch()

    return operation


OPERATIONS = {
    operation.__name__: operation
    for operation in (
        *(resident, default, changed_xstate, changed_registers, single_step, fault, inject, map_file, unmap),
        *(recycled, born, first_switch, first_map, interrupted, foreign_signal),
    )
}


def _switches_each(operation: Operation) -> float:
    """Context switches per repetition, of this thread and of this process's children."""
    before = _switches()
    for _ in range(UNWATCHED):
        operation()
    return (_switches() - before) / UNWATCHED


def _switches() -> int:
    mine = resource.getrusage(resource.RUSAGE_THREAD)
    return mine.ru_nvcsw + mine.ru_nivcsw + sum(map(_switches_of, _children()))


def _children() -> list[int]:
    """The children of this process's threads."""
    tasks = Path("/proc/self/task").iterdir()
    return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]


def _switches_of(pid: int) -> int:
    files = [task / "status" for task in Path(f"/proc/{pid}/task").iterdir()]
    lines = (line for file in files for line in file.read_text().splitlines() if "ctxt_switches" in line)
    return sum(int(line.split()[1]) for line in lines)


def _raise_priority() -> None:
    """Run under SCHED_FIFO, the stubs too, so that sched_yield does not let other processes run.

    Without the privilege, counts depend on whether a tracee has stopped when it is polled.
    """
    with suppress(OSError):
        become_realtime()


def main() -> None:
    """Take the platform, the operation and the number of repetitions from the command line."""
    platform, name, times = sys.argv[1:]
    _raise_priority()
    with pinned(), Bench(platform) as bench:
        operation = OPERATIONS[name](bench)
        operation()
        print(_switches_each(operation), flush=True)
        sys.stdin.readline()
        for _ in range(int(times)):
            os.getppid()
            operation()
            os.getppid()


if __name__ == "__main__":
    main()
