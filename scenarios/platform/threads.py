"""Tracing threads: when they change or end, guests continue exactly or their stub dies; no guest runs untraced."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from worldswitch.harness.contract import (
    Access,
    Busy,
    Death,
    Died,
    Event,
    Interrupted,
    Syscall,
    WrongThread,
)
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage import children
from worldswitch.scenarios.stage.children import Line
from worldswitch.scenarios.stage.deaths import LOST, cause_of, outcome_of, stub_of, wait_until_gone
from worldswitch.scenarios.stage.expected_errors import refused
from worldswitch.scenarios.stage.pacing import await_progress, dice, running
from worldswitch.scenarios.stage.processes import process_state, threads_of
from worldswitch.scenarios.stage.stage import PAGE, Guest, Stage
from worldswitch.scenarios.stage.steady_guests import counts, is_traced
from worldswitch.scenarios.stage.thread_exits import ORDINARY, by_pthread_exit, by_vanishing, depart

WALL = 0x4000_0000  # include/uapi/linux/wait.h: __WALL

Result = TypeVar("Result")


@scenario("TT01", clauses=("seed.lookupOrCreate", "seed.W1", "seed.W2", "kernel.D5"), normal=5, soak=100)
def a_guest_goes_on_after_its_tracing_thread_has_ended(stage: Stage) -> None:
    """A guest continues exactly, in the same stub and with its vectors, after each of its tracing threads has ended."""
    for _ in range(stage.trial.repeat):
        guest = stage.guest(guests.vector_loop)
        pid = stub_of(stage, guest.space)
        for turn, ending in enumerate(ORDINARY * 2, start=1):
            depart(stage, partial(guest.syscalls, 10), ending)
            assert counts(guest) == (10 * turn,) * 3, f"after a thread that ended {ending.__name__}"
        assert stub_of(stage, guest.space) == pid
        assert process_state(pid) is not None


@scenario("TT01", clauses=("seed.lookupOrCreate", "seed.W1", "seed.W2"), quick=3, normal=10, soak=100, deadline=60)
def a_tracing_thread_that_vanishes_costs_its_stub_alone(stage: Stage) -> None:
    """A tracing thread that vanishes may cost its own stub, but no other guest."""
    for _ in range(stage.trial.repeat):
        guest, other = stage.guest(guests.getpid_loop), stage.guest(guests.getpid_loop)
        other.syscalls(3)
        depart(stage, partial(guest.syscalls, 3), by_vanishing)
        event = stage.bounded(partial(outcome_of, guest.switch), 2)
        if isinstance(event, Died):
            assert (event.cause.death, event.cause.signo) in LOST
            wait_until_gone(stage, stub_of(stage, guest.space))
        else:
            assert event == Syscall(Number.GETPID)
            assert guest.state["r12"] == 3
        other.syscalls(3)
        assert other.state["r12"] == 5


@scenario("TT01", "K40", clauses=("kernel.D5", "ptrace(2) PTRACE_O_EXITKILL"), quick=2, normal=5, soak=100)
def a_vanished_tracer_is_told_to_all_who_trace_its_stub(stage: Stage) -> None:
    """When one of three tracing threads in a stub vanishes, both others get the death, running or idle."""
    for _ in range(stage.trial.repeat):
        space = stage.space()
        runner, idler, third = (
            stage.guest(program, space=space) for program in (guests.count_loop, guests.getpid_loop, guests.getpid_loop)
        )
        idler.syscalls(3)
        thread = running(stage, runner)
        depart(stage, partial(third.syscalls, 3), by_vanishing)
        for cause in (cause_of(partial(thread.result, 2)), stage.bounded(partial(cause_of, idler.switch), 2)):
            assert (cause.death, cause.signo) in LOST
        wait_until_gone(stage, stub_of(stage, space))
        stage.guest(guests.getpid_loop).syscalls(2)


@scenario(
    "TT02",
    "K41",
    clauses=("seed.lookupOrCreate", "seed.W1", "ptrace(2) PTRACE_O_EXITKILL"),
    quick=3,
    normal=10,
    soak=200,
)
def without_exit_kill_a_vanished_tracer_sets_no_guest_free(stage: Stage) -> None:
    """Without PTRACE_O_EXITKILL, a guest whose tracer vanished makes no system call on the host, and dies."""
    # Each round first shows that an allowed call would be noticed.
    platform = stage.platform_with(exit_kill=False, injectable=(Number.WRITE,))
    with escape_hatch() as (hatch, escaped):
        for _ in range(stage.trial.repeat):
            guest = stage.guest(guests.write_file_loop, platform=platform, rdi=hatch)
            guest.data[0:8] = b"escaped!"
            stage.inspect(guest.space).inject(Number.WRITE, hatch, guest.data_address, 8)
            assert escaped() == b"escaped!"
            depart(stage, partial(guest.syscalls, 3, result=8), by_vanishing)
            cause = stage.bounded(partial(cause_of, guest.switch), 2)
            assert escaped() == b""
            assert (cause.death, cause.signo) in LOST
            wait_until_gone(stage, stub_of(stage, guest.space))
            assert escaped() == b""


@scenario("TT04", clauses=("kernel.W1", "seed.I1"))
def a_resident_context_is_refused_to_other_threads(stage: Stage) -> None:
    """A resident context can be switched and pulled only by the thread that holds its extended state."""
    guest = stage.guest(guests.vector_loop, resident=True)
    guest.syscalls(5)
    for operation in (guest.switch, guest.context.pull):
        stage.bounded(partial(refused, operation, WrongThread))
    guest.syscalls(5)
    guest.context.pull()
    stage.bounded(partial(guest.syscalls, 5))
    assert counts(guest)[0:2] == (15, 15)


@scenario("TT04", clauses="seed.switchToApp")
def a_context_runs_on_one_thread_at_a_time(stage: Stage) -> None:
    """A second thread that switches a running context gets `Busy`, and the run continues."""
    guest = stage.guest(guests.count_loop)
    thread = running(stage, guest)
    intruder = stage.guest(guests.getpid_loop, space=guest.space, context=guest.context)
    stage.bounded(lambda: refused(intruder.switch, Busy))
    await_progress(stage, guest)
    guest.context.interrupt()
    assert thread.result() == Interrupted()
    assert guest.state["r12"] in (guest.data.word(), guest.data.word() + 1)


@scenario("TT05", "K43", clauses=("kernel.D8", "prctl(2) PR_SET_PDEATHSIG"), quick=2, normal=5, soak=50)
def stubs_outlive_the_thread_that_made_them(stage: Stage) -> None:
    """A platform and an address space made by a thread that ended keep working in the same process."""
    for ending in ORDINARY * stage.trial.repeat:
        made: list[Guest] = []
        depart(stage, partial(_make, stage, made), ending)
        (guest,) = made
        pid = stub_of(stage, guest.space)
        guest.syscalls(9)
        assert counts(guest) == (10, 10, 10)
        stage.guest(guests.getpid_loop, platform=guest.platform).syscalls(2)
        assert stub_of(stage, guest.space) == pid
        assert process_state(pid) is not None


@scenario("TT06", clauses=("gvisor#1333", "seed.lookupOrCreate"), quick=3, normal=6, soak=50)
def guests_survive_pools_of_worker_threads(stage: Stage) -> None:
    """Pools of worker threads that run eight guests in turn lose no count and leave no stub threads."""
    spaces = [stage.space(), stage.space()]
    herd = [stage.guest(guests.vector_loop, space=spaces[i % 2]) for i in range(8)]
    pids = [stub_of(stage, space) for space in spaces]
    before = [len(threads_of(pid)) for pid in pids]
    for turn in range(1, stage.trial.repeat + 1):
        _run_in_pool(stage, herd)
        assert {counts(guest) for guest in herd} == {(10 * turn,) * 3}
    assert [stub_of(stage, space) for space in spaces] == pids
    growth = [len(threads_of(pid)) - count for pid, count in zip(pids, before, strict=True)]
    assert max(growth) <= WORKERS, f"stub threads that the pools left: {growth}"


@scenario("TT07", "K44", clauses=("seed.W22", "kernel.W2", "wait(2)"), normal=3, soak=50)
def a_stop_that_another_thread_takes_ends_the_switch(stage: Stage) -> None:
    """A thread that takes the stop of another thread's tracee causes a typed death, and no hang."""
    for _ in range(stage.trial.repeat):
        assert any(_is_robbed(stage) for _ in range(30)), "no thread took a stop before its tracer"


@scenario("TT09", clauses=("pthread_exit(3)", "seed.lookupOrCreate", "fact.H6"), normal=3, soak=30)
def a_main_thread_that_ends_hands_its_guests_on(stage: Stage) -> None:
    """After the main thread ended as a zombie, another thread continues its guest exactly."""
    for _ in range(stage.trial.repeat):
        child = children.fork(stage, lambda line: _leave_it_to_another_thread(stage, line))
        assert child.result(10) == (20, 20, 20)
        child.wait(5)


@scenario("TT10", clauses="fork(2)", normal=5, soak=50)
def a_forked_child_is_refused_and_its_parent_unharmed(stage: Stage) -> None:
    """After `os.fork`, every operation of the child raises `WrongThread`, and the parent's guests continue."""
    idler, runner = stage.guest(guests.getpid_loop), stage.guest(guests.count_loop)
    idler.syscalls(10)
    thread = running(stage, runner)
    for _ in range(stage.trial.repeat):
        children.run(stage, lambda _: _trespass(idler), 10)
    idler.syscalls(10)
    assert idler.state["r12"] == 19
    await_progress(stage, runner)
    runner.context.interrupt()
    assert thread.result() == Interrupted()


@scenario("TT10", clauses="fork(2)")
def a_forked_child_may_have_a_platform_of_its_own(stage: Stage) -> None:
    """A forked child of a process with a running platform can construct its own, and both work."""
    ours = stage.guest(guests.getpid_loop)
    ours.syscalls(5)

    def live(_: Line) -> int:
        guest = stage.guest(guests.getpid_loop, platform=stage.trial.platform())
        guest.syscalls(5)
        return guest.state["r12"]

    assert children.run(stage, live, 10) == 4
    ours.syscalls(5)
    assert ours.state["r12"] == 9


@scenario("TT14", clauses="seed.getSysemuThread", normal=3, soak=30)
def two_guests_of_one_address_space_run_at_once(stage: Stage) -> None:
    """Two contexts on two threads in one address space run at the same time."""
    for _ in range(stage.trial.repeat):
        space = stage.space()
        pair = [stage.guest(guests.count_loop, space=space) for _ in range(2)]
        threads = [running(stage, guest) for guest in pair]
        for guest in pair:
            await_progress(stage, guest)
        assert not any(thread.is_over for thread in threads)
        for guest in pair:
            guest.context.interrupt()
        assert [thread.result() for thread in threads] == [Interrupted()] * 2


@scenario("TT14", clauses="seed.getSysemuThread", quick=50, normal=500, soak=20_000)
def guests_that_run_at_once_keep_their_registers_apart(stage: Stage) -> None:
    """Two contexts switched in parallel in one address space count exactly in general and vector registers."""
    space = stage.space()
    pair = [stage.guest(guests.vector_loop, space=space, r12=start) for start in (0, 1 << 40)]
    for thread in [stage.thread(guest.syscalls, stage.trial.repeat) for guest in pair]:
        thread.result(15)
    turns = stage.trial.repeat
    assert [counts(guest) for guest in pair] == [(turns, turns, turns), ((1 << 40) + turns, turns, turns)]


@scenario("TT15", clauses="seed.switchToApp", quick=20, normal=100, soak=2000)
def a_context_takes_its_registers_from_thread_to_thread(stage: Stage) -> None:
    """A context that moves between threads a random number of times counts exactly in all registers."""
    guest = stage.guest(guests.vector_loop)
    bystander = stage.guest(guests.vector_loop, space=guest.space)
    chance, total = dice(stage), 0
    with ThreadPoolExecutor(1) as a, ThreadPoolExecutor(1) as b:
        for turn in range(stage.trial.repeat):
            steps = chance.randint(1, 5)
            total += steps
            ask(stage, (a, b)[turn % 2], partial(guest.syscalls, steps))
            ask(stage, (a, b)[turn % 2], partial(bystander.syscalls, 1))
            assert counts(guest) == (total,) * 3
            assert counts(bystander) == (turn + 1,) * 3


@scenario("TT15", clauses="seed.switchToApp")
def a_resident_context_moves_on_when_its_thread_ends(stage: Stage) -> None:
    """When the thread of a resident context ends, another thread continues the context exactly."""
    guest = stage.guest(guests.vector_loop, resident=True)
    for turn, ending in enumerate(ORDINARY, start=1):
        depart(stage, partial(guest.syscalls, 10), ending)
        assert counts(guest)[0:2] == (10 * turn,) * 2, f"after a thread that ended {ending.__name__}"


# --------------------------------------------------------------------------------------------------------------- pieces


def _is_robbed(stage: Stage) -> bool:
    """Interrupt a guest while four more threads wait for its stop; whether one of them took it."""
    guest = stage.guest(guests.count_loop)
    pid, events, over = stub_of(stage, guest.space), list[Event](), threading.Event()

    def trace() -> None:
        events.append(guest.switch())
        over.wait()  # a thread's end detaches its tracees, and then no thread can wait for them

    tracing = stage.thread(trace)
    await_progress(stage, guest)
    (tid,) = (tid for tid, state in threads_of(pid).items() if state == "R" and is_traced(tid))
    thieves = [stage.thread(_steal, tid) for _ in range(4)]
    guest.context.interrupt()
    stage.wait_until(lambda: bool(events), 5, "the switch ends")
    robbed = events != [Interrupted()]
    if not robbed:
        os.kill(pid, signal.SIGKILL)  # ends the waits of the threads
    taken = [thief.result() for thief in thieves]
    over.set()
    tracing.result()
    if not robbed:
        return False
    assert cause_of(lambda: events[0]).death is Death.BROKEN
    return any(status is not None and os.WIFSTOPPED(status) for status in taken)


def _steal(tid: int) -> int | None:
    """Wait for a thread that another thread traces."""
    try:
        return os.waitpid(tid, WALL)[1]
    except ChildProcessError:
        return None


#: The number of threads in a pool.
WORKERS = 4


@contextmanager
def escape_hatch() -> Iterator[tuple[int, Callable[[], bytes]]]:
    """A descriptor that shows a stub's host writes, and a function for what was written since."""
    outlet, hatch = os.pipe()
    os.set_blocking(outlet, False)

    def escaped() -> bytes:
        try:
            return os.read(outlet, 1 << 16)
        except BlockingIOError:
            return b""

    yield hatch, escaped
    os.close(hatch)
    os.close(outlet)


def ask(stage: Stage, pool: ThreadPoolExecutor, function: Callable[[], Result]) -> Result:
    """What `function` returns, run by the pool, in time."""
    future = pool.submit(function)
    stage.wait_until(future.done, 5, "a worker is done")
    return future.result()


def _make(stage: Stage, made: list[Guest]) -> None:
    """Make a platform and a guest that has run; the caller owns both."""
    guest = stage.guest(guests.vector_loop, platform=stage.trial.platform())
    guest.syscalls(1)
    made.append(guest)


def _run_in_pool(stage: Stage, herd: list[Guest]) -> None:
    """Run each guest for ten calls in a pool of threads, and wait for the threads' end."""
    tids: set[int] = set()

    def run(guest: Guest) -> None:
        tids.add(threading.get_native_id())
        guest.syscalls(10)

    with ThreadPoolExecutor(WORKERS) as pool:
        futures = [pool.submit(run, guest) for guest in herd]
        stage.wait_until(lambda: all(future.done() for future in futures), 10, "all guests have run")
        for future in futures:
            future.result()
    stage.wait_until(lambda: not tids & threads_of(os.getpid()).keys(), 5, "the workers are gone")


def _leave_it_to_another_thread(stage: Stage, line: Line) -> None:
    """Switch a guest on the main thread, end that, and continue in another thread, which reports and exits."""
    guest = stage.guest(guests.vector_loop)
    guest.syscalls(10)

    def go_on() -> object:
        stage.wait_until(lambda: process_state(os.getpid()) == "Z", 5, "the first thread is a zombie")
        guest.syscalls(10)
        return counts(guest)

    def live_on() -> None:
        children.report(line, go_on)
        os._exit(0)

    threading.Thread(target=live_on, daemon=True).start()
    by_pthread_exit()


def _trespass(guest: Guest) -> None:
    """Try every operation of a platform that belongs to the parent process."""
    space = guest.stage.inspect(guest.space)
    operations: tuple[Callable[[], object], ...] = (
        guest.switch,
        guest.context.interrupt,
        partial(space.map_file, guest.data_address, guest.data.fd, 0, PAGE, Access.READ),
        partial(space.unmap, guest.data_address, PAGE),
        partial(space.inject, Number.GETPID),
        space.release,
        guest.platform.new_address_space,
        guest.platform.close,
    )
    for operation in operations:
        refused(operation, WrongThread)
