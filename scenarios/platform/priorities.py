"""Scheduling: a stub is never ahead of other processes, whatever its maker is, unless that is asked for."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.stage import children
from worldswitch.scenarios.stage.children import Line
from worldswitch.scenarios.stage.deaths import stub_of
from worldswitch.scenarios.stage.processes import threads_of
from worldswitch.scenarios.stage.stage import Stage
from worldswitch.scenarios.stage.steady_guests import makes_calls

#: Microseconds that a real-time thread may run without a wait, until the kernel kills it.  No guest here computes.
LIMIT = 1_000_000


@dataclass(frozen=True, slots=True)
class Priority:
    """What the scheduler knows of a thread (/proc/PID/stat)."""

    policy: int
    real_time: int
    nice: int

    @classmethod
    def of(cls, tid: int) -> Priority:
        """The priority of a thread."""
        fields = Path(f"/proc/{tid}/stat").read_text().rpartition(")")[2].split()
        return cls(policy=int(fields[38]), real_time=int(fields[37]), nice=int(fields[16]))

    def give(self, tid: int) -> None:
        """Give it to a thread.  Raises OSError."""
        os.setpriority(os.PRIO_PROCESS, tid, self.nice)
        os.sched_setscheduler(tid, self.policy, os.sched_param(self.real_time))


ABOVE = (
    *(Priority(os.SCHED_FIFO, 1, 0), Priority(os.SCHED_RR, 2, 0), Priority(os.SCHED_OTHER, 0, -5)),
    *(Priority(os.SCHED_BATCH, 0, -1), Priority(os.SCHED_FIFO, 1, -20)),
)
#: Not SCHED_IDLE, which a busy machine does not run.
BELOW = (Priority(os.SCHED_OTHER, 0, 5), Priority(os.SCHED_BATCH, 0, 0), Priority(os.SCHED_BATCH, 0, 3))


@scenario("EV15", clauses=("sched(7)", "sched(7) SCHED_RESET_ON_FORK"), normal=3, soak=30)
def a_stub_is_not_ahead_of_other_processes(stage: Stage) -> None:
    """A harness with real-time priority or a negative nice value makes stubs that have neither, and work."""
    for _ in range(stage.trial.repeat):
        for priority in ABOVE:
            found = children.run(stage, partial(_make_as, stage, priority, keep=False), 15)
            expected = Priority(os.SCHED_BATCH if priority.policy == os.SCHED_BATCH else os.SCHED_OTHER, 0, 0)
            assert found in (None, expected), f"the stub of a harness with {priority} has {found}"


@scenario("EV15", clauses=("sched(7)",), normal=3, soak=30)
def a_harness_that_is_made_urgent_later_makes_no_urgent_stub(stage: Stage) -> None:
    """A stub that is made after all threads of the harness were given real-time priority does not have it."""
    for _ in range(stage.trial.repeat):
        children.run(stage, partial(_become_urgent, stage), 15)


@scenario("EV15", clauses=("sched(7)",), normal=3, soak=30)
def a_stub_of_a_modest_harness_is_as_modest(stage: Stage) -> None:
    """A harness whose priority is below the default makes stubs with that priority."""
    for _ in range(stage.trial.repeat):
        for priority in BELOW:
            found = children.run(stage, partial(_make_as, stage, priority, keep=False), 15)
            assert found in (None, priority), f"the stub of a harness with {priority} has {found}"


@scenario("EV15", clauses=("sched(7)",), normal=3, soak=30)
def a_stub_keeps_its_makers_priority_where_that_is_asked_for(stage: Stage) -> None:
    """With `keep_priority`, all threads of a stub have the policy and nice value of the harness."""
    for _ in range(stage.trial.repeat):
        for priority in ABOVE:
            found = children.run(stage, partial(_make_as, stage, priority, keep=True), 15)
            assert found in (None, priority), f"the stub of a harness with {priority} has {found}"


# --------------------------------------------------------------------------------------------------------------- pieces


def _make_as(stage: Stage, priority: Priority, _: Line, *, keep: bool) -> Priority | None:
    """The one priority of all threads of a stub that a thread with this priority made; None if it may not have it."""
    if not _become(stage, priority):
        return None
    (found,) = set(_of_all_threads(stage, keep=keep))
    return found


def _become(stage: Stage, priority: Priority) -> bool:
    resource.setrlimit(resource.RLIMIT_RTTIME, (LIMIT, LIMIT))
    try:
        priority.give(0)
    except OSError as refusal:
        stage.trial.note(f"{priority}: {refusal}")
        return False
    return True


def _of_all_threads(stage: Stage, *, keep: bool) -> Iterator[Priority]:
    """The priorities of a stub's threads, with a thread that runs a guest and one for injected calls."""
    guest = stage.guest(guests.getpid_loop, platform=stage.platform_with(keep_priority=keep))
    makes_calls(guest, 3)
    return map(Priority.of, threads_of(stub_of(stage, guest.space)))


def _become_urgent(stage: Stage, _: Line) -> None:
    stage.space()
    resource.setrlimit(resource.RLIMIT_RTTIME, (LIMIT, LIMIT))
    for tid in threads_of(os.getpid()):
        try:
            Priority(os.SCHED_FIFO, 1, 0).give(tid)
        except OSError as refusal:
            stage.trial.note(f"thread {tid}: {refusal}")
            return
    second = stage.guest(guests.getpid_loop)
    makes_calls(second, 3)
    found = {Priority.of(tid) for tid in threads_of(stub_of(stage, second.space))}
    assert found == {Priority(os.SCHED_OTHER, 0, 0)}, f"the stub has {found}"
