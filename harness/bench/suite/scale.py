"""What more of the same costs: idle tracees, tracing threads, address spaces; in time and in memory."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from worldswitch.harness.arch import registers
from worldswitch.harness.bench import pyperf_script
from worldswitch.harness.bench.benchmark import Subject
from worldswitch.harness.bench.workbench import NANO, Bench, BenchGuest, Timer, check, on_one_cpu, timed_switches
from worldswitch.harness.contract import Inspectable, Options, Placement, Unavailable

#: Each in a process of its own: what one leaves idle must not be there when the next is timed.
SUBJECT = Subject(__file__, alone=True)

TRACEES = (1, 10, 100, 1000)
THREADS = (1, 2, 4, 8, 16)
SPACES = (1, 10, 50, 200)

KERNEL_STACK = 16 * 1024  # arch/x86/include/asm/page_64_types.h: THREAD_SIZE


def _guests(bench: Bench, count: int) -> list[BenchGuest]:
    """Guests that were each switched once by this thread, so that each has a tracee of its own."""
    platform = bench.platform(Options(placement=Placement.PIN))
    guests = [bench.guest("getpid", platform) for _ in range(count)]
    for guest in guests:
        check(guest.switch(), "getpid")
    return guests


@SUBJECT.series(TRACEES)
def tracees(bench: Bench, size: int) -> Timer:
    """A switch where the thread traces so many stub threads, of which only one is active; resident, pinned.

    Timed: switch() of the one.  Not timed: making the others, each in an address space of its own.
    """
    return on_one_cpu(timed_switches(_guests(bench, size)[-1]))


@SUBJECT.series(SPACES)
def spaces(bench: Bench, size: int) -> Timer:
    """A switch where a thread goes round so many address spaces, one switch in each; resident, pinned.

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
    """A switch where so many threads switch at once, each its own guest; resident, the stubs follow.

    Timed: all their switches, divided by their number.  Not timed: starting the threads, their first switch.
    """
    platform = bench.platform(Options(placement=Placement.FOLLOW))
    guests = [bench.guest("getpid", platform) for _ in range(size)]
    crew = [_Member(guest) for guest in guests]
    for one in crew:
        bench.ending.callback(one.dismiss)

    def timer(loops: int) -> float:
        each = -(-loops // size)
        begin = time.perf_counter_ns()
        for one in crew:
            one.begin(each)
        for one in crew:
            one.finish()
        return (time.perf_counter_ns() - begin) * NANO * loops / (each * size)

    return timer


class _Member:
    """A thread that switches its guest so many times when it is told to."""

    def __init__(self, guest: BenchGuest) -> None:
        self._guest = guest
        self._loops = 0
        self._failure: BaseException | None = None
        self._go, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def begin(self, loops: int) -> None:
        self._loops = loops
        self._go.release()

    def finish(self) -> None:
        self._done.acquire()  # as `join` below: bounded by the deadline that the session gives this process
        if self._failure is not None:
            raise self._failure

    def dismiss(self) -> None:
        self.begin(0)
        self._thread.join()

    def _run(self) -> None:
        timer = timed_switches(self._guest)
        while True:
            self._go.acquire()
            if not self._loops:
                return
            try:
                timer(self._loops)
            except BaseException as error:  # raised again by `finish`
                self._failure = error
                return
            finally:
                self._done.release()


@SUBJECT.series(SPACES, unit="byte", loops=1)
def memory(bench: Bench, size: int) -> Timer:
    """The memory that an address space takes with its guest's thread, of so many.

    Measured: what this process has grown by, and of each stub the pages of its own, its page tables and its threads'
    kernel stacks, divided by their number.  Not measured: what else the kernel keeps of a process.
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
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _stubs(pids: Sequence[int]) -> int:
    """Bytes of memory that these processes have for themselves."""
    total = 0
    for pid in pids:
        status = dict(_fields(Path(f"/proc/{pid}/status")))
        shares = dict(_fields(Path(f"/proc/{pid}/smaps_rollup")))
        total += 1024 * (int(shares["Pss"]) + int(status["VmPTE"])) + KERNEL_STACK * int(status["Threads"])
    return total


def _fields(path: Path) -> list[tuple[str, str]]:
    """The fields of a file of /proc that has one a line, without their units."""
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return [(name, rest.split()[0]) for name, _, rest in lines if rest.split()]


if __name__ == "__main__":
    pyperf_script.main(SUBJECT)
