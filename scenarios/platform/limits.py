"""Exhausted limits: of memory in a control group, of processes for a user or for all.

Running out of memory is a stub's death like any other; running out of processes is an error of the operation.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from worldswitch.harness.contract import HostError
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.stage import children
from worldswitch.scenarios.stage.cgroups import group_of
from worldswitch.scenarios.stage.deaths import KILLED, cause_of, stub_of, wait_until_gone
from worldswitch.scenarios.stage.exhaustion import all_processes_taken, become_nobody, no_processes, reserve
from worldswitch.scenarios.stage.expected_errors import refused
from worldswitch.scenarios.stage.processes import threads_of
from worldswitch.scenarios.stage.stage import PAGE, Guest, Stage

#: The memory limit of a stub, and what its guest tries to use.
MEMORY_LIMIT = 4 << 20
MEMORY_WANTED = 16 << 20

#: More memory than is free where the probe `scarce_memory` finds memory scarce.
PLENTY = 1 << 30


@scenario("LC16", "K49", clauses=("gvisor#2520", "gvisor#1335", "gvisor dc33d71f8"), needs="memcg", soak=10)
def a_stub_that_the_oom_killer_takes_is_one_typed_death(stage: Stage) -> None:
    """A stub whose guest exceeds the memory of its control group dies as if killed, and other guests keep running."""
    for _ in range(stage.trial.repeat):
        neighbour = stage.guest(guests.getpid_loop)
        neighbour.syscalls(3)
        greedy = stage.guest(guests.touch_pages, rsi=MEMORY_WANTED // PAGE)
        greedy.state["rdi"] = stage.map(greedy.space, stage.memory(MEMORY_WANTED))
        stub = stub_of(stage, greedy.space)
        with group_of("memory") as group:
            group.set({"memory.max": MEMORY_LIMIT, "memory.limit_in_bytes": MEMORY_LIMIT})
            group.add(stub)
            assert stage.bounded(partial(cause_of, greedy.switch)) == KILLED
            wait_until_gone(stage, stub)
        neighbour.syscalls(3)
        assert neighbour.state["r12"] == 5


@scenario("LC16", "K49", clauses=("gvisor#2520", "gvisor#1335"), needs="scarce_memory", soak=3)
def a_stub_that_dies_of_everybodys_limit_is_one_typed_death(stage: Stage) -> None:
    """A stub that the OOM killer ends at a limit shared with the platform dies as if killed, and nothing else does."""
    for _ in range(stage.trial.repeat):
        neighbour = stage.guest(guests.getpid_loop)
        neighbour.syscalls(3)
        greedy = stage.guest(guests.touch_pages, rsi=PLENTY // PAGE)
        greedy.state["rdi"] = reserve(stage, greedy.space, PLENTY)
        stub = stub_of(stage, greedy.space)
        Path(f"/proc/{stub}/oom_score_adj").write_text("1000")  # the stub, rather than another large process
        assert stage.bounded(partial(cause_of, greedy.switch)) == KILLED
        wait_until_gone(stage, stub)
        neighbour.syscalls(3)
        assert neighbour.state["r12"] == 5


@scenario("TT12", "K50", clauses=("seed.W20", "gvisor#2490", "clone(2) EAGAIN"), needs="nproc", normal=2, soak=20)
def a_limit_on_processes_is_an_error_and_no_harm(stage: Stage) -> None:
    """When no process or thread can be made, the operation that needs one raises EAGAIN and all else works."""
    for _ in range(stage.trial.repeat):
        assert children.run(stage, lambda _: _run_short_as_nobody(stage), 20) == 7


@scenario("TT12", "K50", clauses=("seed.W20", "gvisor#2490", "clone(2) EAGAIN"), needs="scarce_processes", soak=3)
def everybodys_limit_on_processes_is_an_error_and_no_harm(stage: Stage) -> None:
    """When other processes have used up the container's limit, making a stub raises EAGAIN and all else works."""
    for _ in range(stage.trial.repeat):
        assert _run_short(stage, all_processes_taken) == 7


# --------------------------------------------------------------------------------------------------------------- pieces


def _run_short_as_nobody(stage: Stage) -> int:
    """Reach one user's limit on processes, which the superuser is exempt from."""
    become_nobody()
    return _run_short(stage, no_processes)


def _run_short(stage: Stage, shortage: Callable[[int], AbstractContextManager[None]]) -> int:
    """Reach a limit with a new stub and with a new tracing thread; the count of a guest that runs throughout.

    `shortage` is the limit, applied to the process with this id.
    """
    guest = stage.guest(guests.getpid_loop)
    guest.syscalls(2)
    stage.space(guest.platform)  # use up the stub that the platform may keep in reserve
    with shortage(os.getpid()):
        _is_refused_for_want_of_processes(guest.platform.new_address_space)
        guest.syscalls(2)
    newcomer = stage.guest(guests.getpid_loop, space=guest.space)
    asked, answered = threading.Event(), threading.Event()

    def come() -> int:
        with shortage(stub_of(stage, guest.space)):
            _is_refused_for_want_of_processes(newcomer.switch)
        asked.set()
        answered.wait()
        newcomer.syscalls(2)
        return newcomer.state["r12"]

    thread = stage.thread(come)
    stage.wait_until(lambda: asked.is_set() or thread.is_over, 5, "the new thread is refused")
    before = len(threads_of(stub_of(stage, guest.space)))
    guest.syscalls(2)
    answered.set()
    assert thread.result() == 1
    assert len(threads_of(stub_of(stage, guest.space))) <= before + 1
    _works(stage.guest(guests.getpid_loop, platform=guest.platform))
    guest.syscalls(2)
    guest.platform.close()
    return guest.state["r12"]


def _is_refused_for_want_of_processes(operation: Callable[[], object]) -> None:
    assert os.strerror(errno.EAGAIN) in refused(operation, HostError)


def _works(guest: Guest) -> None:
    guest.syscalls(3)
    assert guest.state["r12"] == 2
