"""The creation of stubs, by a `TracedHarness` that holds the harness or the new process at an exact point."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from functools import partial

from worldswitch.harness.contract import PlatformError
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.stage import children
from worldswitch.scenarios.stage.children import Line
from worldswitch.scenarios.stage.deaths import kill, stub_of, wait_until_gone
from worldswitch.scenarios.stage.expected_errors import refused
from worldswitch.scenarios.stage.processes import descendants_of, process_state
from worldswitch.scenarios.stage.stage import Guest, Stage
from worldswitch.scenarios.stage.traced_harness import TracedHarness, await_death


@scenario(
    "LC06",
    "K46",
    clauses=("seed.createStub", 'ptrace(2) "/proc/sys/kernel/yama/ptrace_scope"'),
    normal=3,
    soak=30,
    deadline=60,
)
def stubs_are_made_after_the_first_ones_have_died(stage: Stage) -> None:
    """After the platform's first processes are killed, new address spaces work on old and new threads."""
    for _ in range(stage.trial.repeat):
        children.run(stage, lambda _: _lose_the_first(stage), 20)


@scenario("LC14", "K43", clauses=("seed.createStub", "prctl(2) PR_SET_PDEATHSIG", "gvisor 7f5d0afe5"), soak=30)
def a_stub_whose_harness_died_before_its_first_step_ends_itself(stage: Stage) -> None:
    """A stub ends itself if its harness is killed before the stub's first instruction."""
    children.become_subreaper()
    for _ in range(stage.trial.repeat):
        harness = TracedHarness(stage, lambda _: stage.trial.platform())
        birth = harness.birth()
        kill(harness.child.pid)
        await_death(stage, harness.child.pid)
        harness.let_go(birth)
        children.reap_all(stage, 2)


@scenario("LC15", clauses=("seed.createStub", "gvisor 91f1ac731", "gvisor#1408"), soak=30)
def a_stub_that_crashes_at_birth_is_reported_with_its_signal(stage: Stage) -> None:
    """A stub that takes SIGSEGV as its first step is reported with signal 11, and the platform can make others."""
    for _ in range(stage.trial.repeat):
        said = _crash_at_birth(stage)
        assert "signal 11" in said or "SIGSEGV" in said, f"a crash at birth was reported as: {said}"


@scenario("TT08", clauses=("kernel.W3", "seed.createStub", "wait(2) __WALL"), soak=30)
def a_stub_that_nobody_traced_yet_is_reaped(stage: Stage) -> None:
    """A stub that dies before it is traced is reaped, whatever its exit signal."""
    for _ in range(stage.trial.repeat):
        _crash_at_birth(stage)


@scenario("TT13", clauses=("seed.W18", "gvisor da6ddd1df"), soak=20)
def guests_run_on_while_a_stub_takes_its_time_to_be_made(stage: Stage) -> None:
    """Other threads switch and map while a thread is held in the middle of making a stub."""
    for _ in range(stage.trial.repeat):
        harness = TracedHarness(stage, partial(_create_slowly, stage))
        assert harness.hear(10) == "ready"
        birth = harness.birth()
        harness.let_go(birth)
        harness.child.line.send("held")
        assert harness.hear_while_holding(10) == "others went on"
        harness.release(birth)
        assert harness.result(10) == 4


# --------------------------------------------------------------------------------------------------------------- pieces


def _lose_the_first(stage: Stage) -> None:
    """Kill the platform's first processes, then use new address spaces on an old and a new thread."""
    before = stage.guest(guests.getpid_loop)
    before.syscalls(2)
    own = stub_of(stage, before.space)
    for pid in descendants_of(os.getpid()):
        kill(pid)
    after = stage.bounded(lambda: _guest_or_refusal(stage))
    after.syscalls(2)
    stage.bounded(partial(after.syscalls, 2))
    assert after.state["r12"] == 3
    wait_until_gone(stage, own)


def _guest_or_refusal(stage: Stage) -> Guest:
    try:
        return stage.guest(guests.getpid_loop)
    except PlatformError as error:
        raise AssertionError(f"no stub can be made any more: {error}") from error


def _crash_at_birth(stage: Stage) -> str:
    """The platform's report of a stub that took SIGSEGV first; the platform still works, and no zombie is left."""

    def work(line: Line) -> str:
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)  # a child inherits its parent's handlers
        guest = stage.guest(guests.getpid_loop)
        line.send("ready")
        line.receive(10)
        said = refused(guest.platform.new_address_space, PlatformError)
        zombies = [pid for pid in descendants_of(os.getpid()) if process_state(pid) == "Z"]
        assert not zombies, f"zombies left: {zombies}"
        guest.syscalls(2)
        stage.guest(guests.getpid_loop, platform=guest.platform).syscalls(2)
        guest.platform.close()
        return said

    harness = TracedHarness(stage, work)
    assert harness.hear(10) == "ready"
    harness.child.line.send("create")
    birth = harness.birth()
    harness.crash(birth)
    harness.release(birth)
    return str(harness.result(10))


def _create_slowly(stage: Stage, line: Line) -> int:
    """Make a stub in one thread while two others work; the count of a guest in the new stub."""
    runner, mapper = stage.guest(guests.getpid_loop), stage.guest(guests.getpid_loop)
    prepared, held = threading.Barrier(3), threading.Event()

    def work(operation: Callable[[], object]) -> None:
        operation()  # touch everything needed beforehand
        prepared.wait(5)
        held.wait()
        for _ in range(5):
            operation()

    def run() -> None:
        runner.syscalls(2)

    def remap() -> None:
        stage.map(mapper.space, mapper.data, address=mapper.data_address)

    others = [stage.thread(work, run), stage.thread(work, remap)]
    prepared.wait(5)
    line.send("ready")
    creation = stage.thread(stage.space, runner.platform)
    assert line.receive(10) == "held"
    held.set()
    for other in others:
        other.result()
    line.send("others went on")
    guest = stage.guest(guests.getpid_loop, space=creation.result(), platform=runner.platform)
    guest.syscalls(5)
    return guest.state["r12"]
