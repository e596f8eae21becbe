"""The CPUs of stub threads under each placement, and the restored masks at the end."""

from __future__ import annotations

import os
import threading

import pytest
from worlds import stage as stage

from worldswitch.harness.contract import Placement, Stub
from worldswitch.scenarios import guests
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage.processes import status_of, threads_of
from worldswitch.scenarios.stage.stage import Guest, Stage

CPUS = os.sched_getaffinity(0)

pytestmark = pytest.mark.skipif(len(CPUS) < 2, reason="one CPU is no choice")


def guest_with(stage: Stage, placement: Placement) -> Guest:
    return stage.guest(guests.getpid_loop, platform=stage.platform_with(placement=placement))


def switch(guest: Guest) -> int:
    """Switch once, on a thread that traces nothing else; the stub's thread that it ran in."""
    guest.switch()
    return traced_by_this_thread(guest.stage.inspect(guest.space).stub)


def traced_by_this_thread(stub: Stub) -> int:
    """The one thread of a stub that is."""
    tracer = str(threading.get_native_id())
    (tid,) = (tid for tid in threads_of(stub.pid) if status_of(tid, "TracerPid") == tracer)
    return tid


def test_follow_binds_to_the_tracers_cpu_until_it_ends(stage: Stage) -> None:
    guest = guest_with(stage, Placement.FOLLOW)

    def trace() -> tuple[int, list[set[int]]]:
        os.sched_setaffinity(0, {min(CPUS)})
        tid = switch(guest)
        masks = [os.sched_getaffinity(tid)]
        os.sched_setaffinity(0, {max(CPUS)})
        guest.switch()
        return tid, [*masks, os.sched_getaffinity(tid)]

    running = stage.thread(trace)
    tid, masks = running.result()
    assert masks == [{min(CPUS)}, {max(CPUS)}]
    stage.wait_until(lambda: running.thread.native_id not in threads_of(os.getpid()))
    assert os.sched_getaffinity(tid) == CPUS


def test_follow_leaves_the_tracer_where_it_was(stage: Stage) -> None:
    guest = guest_with(stage, Placement.FOLLOW)
    guest.switch()
    assert os.sched_getaffinity(0) == CPUS


@pytest.mark.parametrize("placement", [Placement.FOLLOW, Placement.PIN])
def test_a_thread_for_injected_calls_follows_and_holds_nobody(stage: Stage, placement: Placement) -> None:
    guest = guest_with(stage, placement)
    stub = stage.inspect(guest.space).stub

    def call() -> tuple[int, list[set[int]], set[int]]:
        masks = []
        for cpu in (min(CPUS), max(CPUS)):
            os.sched_setaffinity(0, {cpu})
            stage.inspect(guest.space).inject(Number.GETPID)
            masks.append(os.sched_getaffinity(call_thread := traced_by_this_thread(stub)))
        os.sched_setaffinity(0, CPUS)
        stage.inspect(guest.space).inject(Number.GETPID)
        return call_thread, masks, os.sched_getaffinity(0)

    running = stage.thread(call)
    tid, masks, own = running.result()
    assert masks == [{min(CPUS)}, {max(CPUS)}]
    assert own == CPUS
    stage.wait_until(lambda: running.thread.native_id not in threads_of(os.getpid()))
    assert os.sched_getaffinity(tid) == CPUS


def test_pin_binds_both_until_the_platform_is_closed(stage: Stage) -> None:
    guest = guest_with(stage, Placement.PIN)
    closed = threading.Event()
    pinned: list[set[int]] = []

    def trace() -> set[int]:
        tid = switch(guest)
        pinned.extend((os.sched_getaffinity(0), os.sched_getaffinity(tid)))
        assert closed.wait(30)
        return os.sched_getaffinity(0)

    running = stage.thread(trace)
    stage.wait_until(lambda: len(pinned) == 2 or running.is_over)
    guest.platform.close()
    closed.set()
    assert running.result() == CPUS
    assert pinned[0] == pinned[1]
    assert len(pinned[0]) == 1


def test_a_pinned_thread_that_ended_is_no_obstacle(stage: Stage) -> None:
    guest = guest_with(stage, Placement.PIN)
    stage.bounded(guest.switch)
    guest.platform.close()
    assert os.sched_getaffinity(0) == CPUS


def test_free_binds_nobody(stage: Stage) -> None:
    guest = guest_with(stage, Placement.FREE)
    guest.switch()
    masks = [os.sched_getaffinity(tid) for tid in stage.inspect(guest.space).stub.tids]
    assert all(mask == CPUS for mask in [*masks, os.sched_getaffinity(0)])
