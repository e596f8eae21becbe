"""Synchronisation: guests known to run, threads known to have detached, reproducible random numbers."""

from __future__ import annotations

import contextlib
import random

from worldswitch.harness.contract import Event
from worldswitch.scenarios.stage.processes import status_of, threads_of
from worldswitch.scenarios.stage.stage import Guest, RunningGuest, Stage


def running(stage: Stage, guest: Guest) -> RunningGuest[Event]:
    """A thread in which a counting guest already runs."""
    before = guest.data.word()
    thread = stage.thread(guest.switch)
    stage.wait_until(lambda: guest.data.word() != before or thread.is_over, 5, "the guest begins to run")
    return thread


def await_progress(stage: Stage, guest: Guest) -> None:
    """Wait until a counting guest makes progress."""
    before = guest.data.word()
    stage.wait_until(lambda: guest.data.word() != before, 5, f"the guest {guest.program.name} makes progress")


def is_untraced_by(tracer: int, pid: int) -> bool:
    """Whether thread `tracer` traces no thread of process `pid`."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return all(int(status_of(tid, "TracerPid")) != tracer for tid in threads_of(pid))
    return True


def dice(stage: Stage) -> random.Random:
    """Random numbers, drawn from the trial's seed."""
    return random.Random(stage.trial.seed)
