"""Life and death of stubs: a killed stub is one typed death for every caller, and nothing of it remains."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TypeAlias, cast

from worldswitch.harness.contract import Access, Cause, DeathPolicy, Died
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage import children
from worldswitch.scenarios.stage.children import ChildStatus, Line, Namespace
from worldswitch.scenarios.stage.deaths import KILLED, cause_of, kill, outcome_of, stub_of, wait_until_gone
from worldswitch.scenarios.stage.pacing import await_progress, dice, is_untraced_by, running
from worldswitch.scenarios.stage.stage import PAGE, Guest, Stage


@scenario(
    "LC01", clauses=("seed.unexpectedStubExit", "seed.wait", "seed.W4", "kernel.D1"), quick=3, normal=10, soak=200
)
def a_stub_killed_while_its_guest_runs_is_one_typed_death(stage: Stage) -> None:
    """A stub killed while its guest computes makes `switch` return `Died` within a second, and is reaped."""
    for _ in range(stage.trial.repeat):
        guest = stage.guest(guests.count_loop)
        pid = stub_of(stage, guest.space)
        thread = running(stage, guest)
        kill(pid)
        assert cause_of(partial(thread.result, 1)) == KILLED
        wait_until_gone(stage, pid)


@scenario("LC02", clauses=("seed.wait", "seed.W4", "kernel.D2"), quick=2, normal=10, soak=200, deadline=40)
def a_stub_killed_while_idle_is_noticed_by_whatever_comes_next(stage: Stage) -> None:
    """A stub killed while its threads are stopped is reported by the next operation, of any kind, as the same death."""
    for _ in range(stage.trial.repeat):
        for operation in (Guest.switch, _map, _unmap, _inject):
            guest = stage.guest(guests.getpid_loop)
            guest.syscalls(1)
            _inject(guest)
            kill(stub_of(stage, guest.space))
            assert _cause_in_time(stage, guest, operation) == KILLED
            assert _cause_in_time(stage, guest, Guest.switch) == KILLED
            assert _cause_in_time(stage, guest, _map) == KILLED


@scenario("LC02", "K37", clauses=("seed.W5", "kernel.D4", "kernel.D6"), quick=2, normal=10, soak=200, deadline=60)
def a_stub_killed_while_idle_is_reaped_without_anybody_asking(stage: Stage) -> None:
    """A stub killed while its threads are stopped is reaped without a further operation."""
    for _ in range(stage.trial.repeat):
        guest = stage.guest(guests.getpid_loop)
        guest.syscalls(1)
        _inject(guest)
        pid = stub_of(stage, guest.space)
        kill(pid)
        wait_until_gone(stage, pid)
        assert _cause_in_time(stage, guest, Guest.switch) == KILLED


@scenario("LC02", "K48", clauses=("kernel.D6", "wait(2) SA_NOCLDWAIT"), soak=20)
def deaths_are_noticed_where_sigchld_is_ignored(stage: Stage) -> None:
    """In a process that ignores SIGCHLD, stubs killed running or idle are reported and reaped."""
    for _ in range(stage.trial.repeat):
        children.run(stage, lambda _: _ignore_sigchld(stage), 20)


@scenario("LC03", "K36", clauses=("seed.W4", "kernel.D2"), quick=20, normal=100, soak=1000, deadline=60)
def a_stub_killed_at_any_moment_dies_the_same_death(stage: Stage) -> None:
    """A stub killed at a random moment of switches, mappings and injected calls dies the same typed death."""
    chance = dice(stage)
    for _ in range(stage.trial.repeat):
        guest = stage.guest(guests.getpid_loop)
        pid = stub_of(stage, guest.space)
        thread = stage.thread(_work_until_death, guest)
        time.sleep(chance.uniform(0, 0.005))
        kill(pid)
        assert thread.result() == KILLED
        wait_until_gone(stage, pid)


@scenario("LC04", "K45", clauses=("kernel.D4", "kernel.D5", "seed.W5"), normal=5, soak=100)
def every_tracer_of_a_killed_stub_lets_go(stage: Stage) -> None:
    """Eight tracing threads of a killed stub, running or idle, each get its death, and the stub is reaped."""
    for _ in range(stage.trial.repeat):
        space = stage.space()
        pid = stub_of(stage, space)
        busy = [running(stage, stage.guest(guests.count_loop, space=space)) for _ in range(4)]
        idle = [_Idler(stage, stage.guest(guests.getpid_loop, space=space)) for _ in range(4)]
        stage.wait_until(partial(_all_stand, idle), 5, "every idle tracer has a stopped thread")
        kill(pid)
        assert [cause_of(thread.result) for thread in busy] == [KILLED] * 4
        wait_until_gone(stage, pid)
        assert [cause_of(one.go_on) for one in idle] == [KILLED] * 4


@scenario("LC05", clauses=("kernel.D3", "kernel.D1"), quick=3, normal=10, soak=200)
def a_second_sigkill_changes_nothing(stage: Stage) -> None:
    """A second SIGKILL to a dying stub, running or idle, changes nothing about its one death."""
    for _ in range(stage.trial.repeat):
        runner, idler = stage.guest(guests.count_loop), stage.guest(guests.getpid_loop)
        idler.syscalls(1)
        thread = running(stage, runner)
        pids = [stub_of(stage, guest.space) for guest in (runner, idler)]
        for pid in pids * 2:
            with contextlib.suppress(ProcessLookupError):
                kill(pid)
        assert cause_of(thread.result) == KILLED
        assert _cause_in_time(stage, idler, Guest.switch) == KILLED
        for pid in pids:
            wait_until_gone(stage, pid)


@scenario("LC07", "K39", clauses=("gvisor dc33d71f8", "seed.createStub", "kernel.D7"), soak=20)
def the_policy_that_takes_the_platform_along_leaves_no_half_of_it(stage: Stage) -> None:
    """With `DeathPolicy.PLATFORM` the death of an idle stub ends the process and every other stub."""
    children.become_subreaper()
    for _ in range(stage.trial.repeat):
        harness = children.fork(stage, lambda line: _live_with_three(stage, line))
        kill(cast(int, harness.hear(10)))
        assert harness.wait(2) == ChildStatus(signal.SIGKILL, 0)
        children.reap_all(stage, 2)


@scenario(
    "LC08",
    clauses=("seed.I11", "seed.createStub", "prctl(2) PR_SET_PDEATHSIG"),
    quick=10,
    normal=40,
    soak=300,
    deadline=60,
)
def no_stub_outlives_a_harness_killed_while_it_creates(stage: Stage) -> None:
    """No stub outlives a harness that is killed at a random moment of creating its platform and stubs."""
    chance = dice(stage)
    children.become_subreaper()
    span = _time_of_creation(stage)
    for _ in range(stage.trial.repeat):
        harness = children.fork(stage, lambda line: _create(stage, line))
        assert harness.hear(5) == "begin"
        time.sleep(chance.uniform(0, span))
        harness.kill()
        children.reap_all(stage, 1)


@scenario(
    "LC09", clauses=("seed.newThread", "seed.W21", "kernel.W4", "fact.H3"), quick=3, normal=10, soak=200, deadline=60
)
def a_stub_killed_while_nobody_traces_its_threads_is_a_typed_death(stage: Stage) -> None:
    """A stub killed while its threads are parked between two tracers is a typed death for the next one."""
    for _ in range(stage.trial.repeat):
        guest = stage.guest(guests.getpid_loop)
        pid = stub_of(stage, guest.space)
        tracer = stage.bounded(partial(_tracer_of_a_switch, guest))
        stage.wait_until(partial(is_untraced_by, tracer, pid), 5, "the ended thread traces nothing")
        kill(pid)
        assert _cause_in_time(stage, guest, Guest.switch) == KILLED
        stage.bounded(lambda: stage.guest(guests.getpid_loop).syscalls(2))
        wait_until_gone(stage, pid)


@scenario("LC12", "K39", clauses=("seed.unexpectedStubExit", "seed.wait", "seed.W3"))
def the_policy_that_takes_the_platform_along_ends_its_process(stage: Stage) -> None:
    """With `DeathPolicy.PLATFORM` the death of a stub ends the process of the platform by SIGKILL."""
    harness = children.fork(stage, lambda line: _lose_a_stub(stage, line))
    assert harness.hear(10) == "running"
    assert harness.wait(5) == ChildStatus(signal.SIGKILL, 0)


@scenario("LC12", "K38", clauses=("seed.W3", "pid_namespaces(7)", "gvisor d844c7bbb"), needs="pidns")
def the_policy_that_takes_the_platform_along_ends_even_pid_1(stage: Stage) -> None:
    """With `DeathPolicy.PLATFORM` the death of a stub ends the platform's process even if that is PID 1."""
    harness = children.fork(stage, lambda line: _lose_a_stub(stage, line), Namespace.PID)
    assert harness.hear(10) == "running"
    assert harness.wait(5) == ChildStatus(0, 128 + signal.SIGKILL)


@scenario("LC17", clauses=("gvisor 16dba7fa7", "seed.W3"), quick=2, normal=5, soak=50)
def one_death_leaves_the_other_stubs_alone(stage: Stage) -> None:
    """A stub that is killed ends its own address space only."""
    for _ in range(stage.trial.repeat):
        killed, neighbour = stage.guest(guests.getpid_loop), stage.guest(guests.getpid_loop)
        runner = stage.guest(guests.count_loop)
        for guest in (killed, neighbour):
            guest.syscalls(10)
        thread = running(stage, runner)
        kill(stub_of(stage, killed.space))
        assert _cause_in_time(stage, killed, Guest.switch) == KILLED
        neighbour.syscalls(10)
        assert neighbour.state["r12"] == 19
        await_progress(stage, runner)
        runner.context.interrupt()
        assert not isinstance(thread.result(), Died)
        stage.guest(guests.getpid_loop).syscalls(2)


# --------------------------------------------------------------------------------------------------------------- pieces

Operation: TypeAlias = Callable[[Guest], object]


def _map(guest: Guest) -> None:
    guest.space.map_file(guest.data_address, guest.data.fd, 0, PAGE, Access.READ | Access.WRITE)


def _unmap(guest: Guest) -> None:
    guest.space.unmap(guest.stack_address, PAGE)


def _inject(guest: Guest) -> None:
    # An unmap of nothing: any platform can inject it, and it changes nothing.
    guest.stage.inspect(guest.space).inject(Number.MUNMAP, guest.stack_address + guest.stack.size, PAGE)


def _cause_in_time(stage: Stage, guest: Guest, operation: Operation) -> Cause:
    return stage.bounded(lambda: cause_of(lambda: operation(guest)), 2)


def _work_until_death(guest: Guest) -> Cause:
    """Perform all kinds of operations in turn, until one reports the death."""
    while True:
        for operation in (Guest.switch, Guest.switch, _map, _inject):
            outcome = outcome_of(partial(operation, guest))
            if isinstance(outcome, Died):
                return outcome.cause


class _Idler:
    """A tracing thread that ran its guest to a system call and waits."""

    def __init__(self, stage: Stage, guest: Guest) -> None:
        self._guest = guest
        self._may_go_on = threading.Event()
        self.stands = False
        self.thread = stage.thread(self._live)

    def _live(self) -> object:
        self._guest.syscalls(1)
        self.stands = True
        self._may_go_on.wait()
        return self._guest.switch()

    def go_on(self) -> object:
        """The outcome of its next switch."""
        self._may_go_on.set()
        return self.thread.result()


def _all_stand(idle: list[_Idler]) -> bool:
    return all(one.stands or one.thread.is_over for one in idle)


def _tracer_of_a_switch(guest: Guest) -> int:
    guest.syscalls(1)
    return threading.get_native_id()


def _create(stage: Stage, line: Line) -> None:
    """Make a platform, and stubs without end."""
    line.send("begin")
    platform = stage.trial.platform()
    while True:
        platform.new_address_space()


def _time_of_creation(stage: Stage) -> float:
    """The time a platform and three stubs take to make, in a child process."""

    def create(line: Line) -> float:
        begin = time.monotonic()
        platform = stage.trial.platform()
        for _ in range(3):
            platform.new_address_space()
        return time.monotonic() - begin

    return cast(float, children.run(stage, create, 20))


def _live_with_three(stage: Stage, line: Line) -> None:
    """Make three stubs, with a running guest, an idle one and none, and report the second one's pid."""
    platform = stage.platform_with(death_policy=DeathPolicy.PLATFORM)
    platform.new_address_space()
    running(stage, stage.guest(guests.count_loop, platform=platform))
    idler = stage.guest(guests.getpid_loop, platform=platform)
    idler.syscalls(1)
    line.send(stub_of(stage, idler.space))
    line.receive(20)


def _ignore_sigchld(stage: Stage) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    runner, idler = stage.guest(guests.count_loop), stage.guest(guests.getpid_loop)
    idler.syscalls(2)
    thread = running(stage, runner)
    for guest in (runner, idler):
        kill(stub_of(stage, guest.space))
        wait_until_gone(stage, stub_of(stage, guest.space))
    assert cause_of(thread.result) == KILLED
    assert _cause_in_time(stage, idler, Guest.switch) == KILLED
    stage.platform.close()


def _lose_a_stub(stage: Stage, line: Line) -> str:
    """Kill a running stub under `DeathPolicy.PLATFORM`; the outcome, if the process survives."""
    guest = stage.guest(guests.count_loop, platform=stage.platform_with(death_policy=DeathPolicy.PLATFORM))
    thread = running(stage, guest)
    line.send("running")
    kill(stub_of(stage, guest.space))
    return repr(thread.result())
