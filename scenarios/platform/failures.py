"""Failures, over and over: what an operation that fails has taken is given back."""

from __future__ import annotations

import errno
import gc
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from worldswitch.harness.contract import (
    Access,
    BadAddress,
    Busy,
    HostError,
    Interrupted,
    Platform,
    PlatformError,
    Released,
    StubDied,
    Unavailable,
    WrongThread,
)
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage import children
from worldswitch.scenarios.stage.deaths import KILLED, cause_of, kill, stub_of, wait_until_gone
from worldswitch.scenarios.stage.exhaustion import become_nobody, no_descriptors, no_processes, processes_left
from worldswitch.scenarios.stage.expected_errors import refused
from worldswitch.scenarios.stage.pacing import dice, running
from worldswitch.scenarios.stage.processes import own_children, process_state
from worldswitch.scenarios.stage.resources import Baseline, leave_nothing
from worldswitch.scenarios.stage.stage import PAGE, Guest, Stage
from worldswitch.scenarios.stage.steady_guests import in_a_thread_that_ends, outcome_of

READ_WRITE = Access.READ | Access.WRITE

#: An address that no segment base may have.
NONCANONICAL = 1 << 63

#: How many processes or threads a platform may still make: none, its own thread, ... and enough.
FEW = range(6)

#: Threads that together always have a request for the platform.
MANY = 8


@scenario("PO09", clauses=("seed.W20", "seed.MapFile", "seed.Release"), quick=20, normal=100, soak=1000, deadline=120)
def refused_operations_leave_nothing(stage: Stage) -> None:
    """Operations that are refused, each many times over, leave no descriptor, thread, memory or object behind."""
    busy, resident = stage.guest(guests.count_loop), stage.guest(guests.getpid_loop, resident=True)
    thread, resident_thread = running(stage, busy), stage.thread(_stay, resident, over := threading.Event())
    stage.wait_until(lambda: resident.state["r12"] or resident_thread.is_over, claim="the resident guest has run")
    idle = stage.guest(guests.getpid_loop)
    idle.syscalls(1)
    with open("/proc/self/exe", "rb") as readable:
        refusals = partial(_be_refused, stage, idle, busy, resident, readable.fileno())
        leave_nothing(stage, refusals, stage.trial.repeat)
    idle.syscalls(2)
    over.set()
    resident_thread.result()
    busy.context.interrupt()
    assert thread.result() == Interrupted()


@scenario("PO10", clauses=("seed.W5", "seed.W15", "seed.I10"), quick=10, normal=60, soak=1000, deadline=300)
def deaths_leave_nothing(stage: Stage) -> None:
    """Stubs that are killed while they run, wait, are pooled or are released leave nothing behind."""
    times = stage.trial.repeat
    platform = stage.platform_with(pool_limit=2 * times)
    for die in (_die_running, _die_in_use, _die_before_the_release):
        leave_nothing(stage, partial(die, stage, platform), times)
    _die_in_the_pool(stage, platform, 2)
    baseline = Baseline(stage)
    _die_in_the_pool(stage, platform, times)
    baseline.is_unchanged(times=times)


@scenario("PO11", clauses=("seed.createStub", "seed.W20", "pipe(2) EMFILE"), quick=20, normal=100, soak=1000)
def births_without_descriptors_leave_nothing(stage: Stage) -> None:
    """New address spaces that fail for want of file descriptors, after any number of them, leave nothing behind."""
    platform = stage.platform_with(pool_limit=0)
    platform.new_address_space().release()  # the one that the platform may keep in reserve
    leave_nothing(stage, partial(_bear_without_descriptors, platform), stage.trial.repeat)
    stage.guest(guests.getpid_loop, platform=platform).syscalls(2)


@scenario(
    "PO12",
    clauses=("seed.createStub", "seed.lookupOrCreate", "clone(2) EAGAIN"),
    needs="nproc",
    quick=12,
    normal=60,
    soak=1000,
    deadline=120,
)
def births_without_processes_leave_nothing(stage: Stage) -> None:
    """Stubs and stub threads that fail for want of processes, at any of their clones, leave nothing behind."""
    children.run(stage, lambda _: _run_short(stage), stage.trial.seconds(60))


@scenario("PO13", clauses=("seed.createStub", "gvisor 91f1ac731"), quick=20, normal=100, soak=1000, deadline=120)
def stubs_killed_at_birth_leave_nothing(stage: Stage) -> None:
    """Stubs that are killed while they are made, at any moment, leave nothing behind, and others can be made."""
    platform = stage.platform_with(pool_limit=0)
    platform.new_address_space().release()
    begun = time.monotonic()
    platform.new_address_space().release()
    delays = partial(dice(stage).uniform, 0, time.monotonic() - begun)
    leave_nothing(stage, lambda: _kill_at_birth(stage, platform, delays()), stage.trial.repeat)
    stage.guest(guests.getpid_loop, platform=platform).syscalls(2)


@scenario(
    "PO14", clauses=("seed.newSubprocess", "seed.I11"), needs="nproc", quick=6, normal=40, soak=1000, deadline=300
)
def platforms_that_cannot_start_leave_nothing(stage: Stage) -> None:
    """Platforms that cannot start for want of descriptors or processes leave nothing behind."""
    children.run(stage, lambda _: _start_in_vain(stage), stage.trial.seconds(60))


@scenario("LC18", clauses=("seed.I11", "seed.newSubprocess"), quick=10, normal=60, soak=1000, deadline=120)
def what_is_dropped_leaves_nothing_after_the_close(stage: Stage) -> None:
    """Address spaces, contexts and states that are dropped without a release leave nothing after `close`."""
    platform = stage.platform
    space = platform.new_address_space()
    leave_nothing(stage, partial(_drop_contexts, stage, space), stage.trial.repeat)
    leave_nothing(stage, partial(_drop_a_platform, stage), max(stage.trial.repeat // 2, 6))


@scenario("LC19", clauses=("seed.W5", "seed.Release"), normal=3, soak=20, deadline=60)
def deaths_are_noticed_while_the_platform_is_busy(stage: Stage) -> None:
    """Idle stubs that are killed are reaped in time although other threads make and release address spaces."""
    for _ in range(stage.trial.repeat):
        idle = [stub_of(stage, space) for space in [stage.space() for _ in range(3)]]
        over = threading.Event()
        busy = [stage.thread(_make_and_release, stage.platform, over) for _ in range(MANY)]
        try:
            for pid in idle:
                kill(pid)
            for pid in idle:
                wait_until_gone(stage, pid, 3)
        finally:
            over.set()
        assert all(thread.result() > 0 for thread in busy)


# ------------------------------------------------------------------------------------------------------------- refusals


def _stay(guest: Guest, over: threading.Event) -> None:
    """Leave a resident guest's vectors in this thread's stub thread."""
    guest.syscalls(2)
    over.wait()


def _be_refused(stage: Stage, idle: Guest, busy: Guest, resident: Guest, readable: int) -> None:
    """Have each kind of operation refused once."""
    space, address = stage.inspect(idle.space), stage.place(idle.space, 0)
    _errno(errno.EACCES, partial(space.map_file, address, readable, 0, PAGE, READ_WRITE))
    _errno(errno.EBADF, partial(space.map_file, address, 1 << 20, 0, PAGE, READ_WRITE))
    _errno(errno.EINVAL, partial(space.map_file, address, idle.data.fd, 1, PAGE, READ_WRITE))
    _errno(errno.EBADF, partial(space.inject, Number.MMAP, 0, PAGE, 1, 1, 1 << 20, 0))
    refused(partial(space.map_file, -PAGE, idle.data.fd, 0, PAGE, READ_WRITE), BadAddress)
    refused(partial(space.unmap, address + 1, PAGE), BadAddress)
    refused(busy.space.release, Busy)
    refused(partial(busy.context.switch, busy.space, busy.state), Busy)
    refused(resident.context.pull, WrongThread)
    refused(partial(resident.context.switch, resident.space, resident.state), WrongThread)
    _is_refused_by_its_registers(idle)
    released = stage.platform.new_address_space()
    released.release()
    refused(released.release, Released)
    refused(partial(idle.context.switch, released, idle.state), Released)


def _errno(number: int, operation: Callable[[], object]) -> None:
    said = refused(operation, HostError)
    assert os.strerror(number) in said, said


def _is_refused_by_its_registers(guest: Guest) -> None:
    base = guest.state["fs_base"]
    guest.state["fs_base"] = NONCANONICAL
    outcome = outcome_of(partial(guest.context.switch, guest.space, guest.state))
    guest.state["fs_base"] = base
    assert isinstance(outcome, HostError), f"a switch with a segment base beyond all addresses: {outcome!r}"


# --------------------------------------------------------------------------------------------------------------- deaths


def _die_running(stage: Stage, platform: Platform) -> None:
    guest = Stage(stage.trial).guest(guests.count_loop, platform=platform)
    thread = running(stage, guest)
    kill(stub_of(stage, guest.space))
    assert cause_of(thread.result) == KILLED


def _die_in_use(stage: Stage, platform: Platform) -> None:
    """Kill a stub that this thread traces for guests and for calls, and use it again and again."""
    guest = Stage(stage.trial).guest(guests.getpid_loop, platform=platform)
    guest.syscalls(1)
    kill(stub_of(stage, guest.space))
    for _ in range(2):
        assert cause_of(partial(guest.context.switch, guest.space, guest.state)) == KILLED
        assert cause_of(partial(guest.space.unmap, guest.data_address, PAGE)) == KILLED
    guest.space.release()


def _die_before_the_release(stage: Stage, platform: Platform) -> None:
    space = platform.new_address_space()
    kill(stub_of(stage, space))
    with suppress(StubDied):
        space.release()


def _die_in_the_pool(stage: Stage, platform: Platform, count: int) -> None:
    spaces = [platform.new_address_space() for _ in range(count)]
    pids = [stub_of(stage, space) for space in spaces]
    for space in spaces:
        space.release()
    for pid in pids:
        kill(pid)
    for pid in pids:
        wait_until_gone(stage, pid)


def _make_and_release(platform: Platform, over: threading.Event) -> int:
    made = 0
    while not over.is_set():
        platform.new_address_space().release()
        made += 1
    return made


# --------------------------------------------------------------------------------------------------------------- births


def _bear_without_descriptors(platform: Platform) -> None:
    """Ask for an address space with no free descriptor, with one, and so on, until it is made."""
    for free in range(MOST_DESCRIPTORS):
        with no_descriptors(free):
            outcome = outcome_of(platform.new_address_space)
        if not isinstance(outcome, Exception):
            outcome.release()  # type: ignore[attr-defined]
            break
        assert isinstance(outcome, HostError), f"with {free} free descriptors: {outcome!r}"


MOST_DESCRIPTORS = 16  #: more than a birth needs


def _run_short(stage: Stage) -> None:
    become_nobody()
    platform = stage.platform_with(pool_limit=0)
    guest = Stage(stage.trial).guest(guests.getpid_loop, platform=platform)
    guest.syscalls(1)
    assert outcome_of(partial(_bear_without_processes, platform, 0)) is not None
    for left in range(3):
        leave_nothing(stage, partial(_bear_without_processes, platform, left), stage.trial.repeat)
    leave_nothing(stage, partial(_come_without_processes, stage, guest), stage.trial.repeat // 2)
    guest.syscalls(2)
    platform.close()


def _bear_without_processes(platform: Platform, left: int) -> Exception | None:
    """Ask for an address space where only so many processes can be made; the error."""
    with processes_left(os.getpid(), left):
        outcome = outcome_of(platform.new_address_space)
    if isinstance(outcome, Exception):
        assert isinstance(outcome, HostError), f"with {left} processes left: {outcome!r}"
        assert outcome.errno == errno.EAGAIN, f"with {left} processes left: {outcome!r}"
        return outcome
    outcome.release()  # type: ignore[attr-defined]
    return None


def _come_without_processes(stage: Stage, guest: Guest) -> None:
    """Use a stub for the first time in a thread, where the stub can make no thread."""

    def come() -> None:
        with no_processes(stub_of(stage, guest.space)):
            outcome = outcome_of(partial(guest.context.switch, guest.space, guest.state))
        assert isinstance(outcome, HostError), f"a stub that can make no thread: {outcome!r}"
        assert outcome.errno == errno.EAGAIN, f"a stub that can make no thread: {outcome!r}"

    in_a_thread_that_ends(stage, come)


def _kill_at_birth(stage: Stage, platform: Platform, delay: float) -> None:
    """Kill a process that the platform makes, some time after it appeared."""
    before = own_children()
    birth = stage.thread(outcome_of, platform.new_address_space)
    newborn: set[int] = set()
    while not newborn and not birth.is_over:
        newborn = own_children() - before
    time.sleep(delay)
    for pid in newborn:
        with suppress(ProcessLookupError):
            kill(pid)
    outcome = birth.result()
    stage.trial.note(f"killed after {delay * 1e6:.0f} us: {outcome!r}")
    if isinstance(outcome, Exception):
        assert isinstance(outcome, PlatformError), f"a stub killed at its birth: {outcome!r}"
    else:
        with suppress(StubDied):
            outcome.release()  # type: ignore[attr-defined]
    stage.wait_until(lambda: not any(map(process_state, newborn)), claim=f"{newborn} is reaped")


# ------------------------------------------------------------------------------------------------------------ platforms


def _start_in_vain(stage: Stage) -> None:
    become_nobody()
    _start(stage)
    leave_nothing(stage, partial(_start_with_few_processes, stage), stage.trial.repeat)
    leave_nothing(stage, partial(_start_without_descriptors, stage), stage.trial.repeat)
    assert _start(stage) is None


def _start(stage: Stage) -> Exception | None:
    """Start a platform and close it; the refusal."""
    try:
        stage.short_lived().close()
    except Unavailable as refusal:
        return refusal
    return None


def _start_with_few_processes(stage: Stage) -> None:
    outcomes = []
    for left in FEW:
        with processes_left(os.getpid(), left):
            outcomes.append(_start(stage))
    assert outcomes[0] is not None, "a platform started without any process or thread"


def _start_without_descriptors(stage: Stage) -> None:
    for free in range(MOST_DESCRIPTORS):
        with no_descriptors(free):
            outcome = _start(stage)
        assert outcome is not None or free, "a platform started without a file descriptor"
        if outcome is None:
            break


def _drop_contexts(stage: Stage, space: object) -> None:
    """Use contexts of both kinds, and forget them."""
    own = Stage(stage.trial)
    for resident in (False, True):
        guest = own.guest(guests.getpid_loop, space=space, platform=stage.platform, resident=resident)  # type: ignore[arg-type]
        guest.syscalls(1)
        guest.context.interrupt()


def _drop_a_platform(stage: Stage) -> None:
    """Close a platform whose address spaces were dropped or are in use."""
    own = Stage(stage.trial)
    platform = stage.short_lived()
    own.guest(guests.getpid_loop, platform=platform).syscalls(1)
    in_a_thread_that_ends(stage, own.guest(guests.getpid_loop, platform=platform).switch)  # type: ignore[arg-type]
    del own
    gc.collect()
    platform.close()
