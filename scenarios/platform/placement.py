"""CPU placement: stubs follow their tracers, nothing stays pinned, and idle tracees cost nothing."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from worldswitch.harness.contract import Placement
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage import children
from worldswitch.scenarios.stage.cgroups import Group, group_of
from worldswitch.scenarios.stage.children import Line
from worldswitch.scenarios.stage.processes import status_of, threads_of
from worldswitch.scenarios.stage.stage import Guest, Stage
from worldswitch.scenarios.stage.steady_guests import in_a_thread_that_ends, makes_calls
from worldswitch.scenarios.stage.tracers import calls_between

#: A call that is otherwise rare, with which this program marks its position.
MARK = Number.GETPPID

#: The number of switches whose calls are counted.
COUNTED_SWITCHES = 20


@scenario("EV06", "K75", clauses=("seed.W24", "gvisor f3172c3a1", "sched_setaffinity(2)"), needs="smp", normal=5)
def a_guest_follows_its_tracer_to_other_cpus(stage: Stage) -> None:
    """A guest runs on the CPU that its tracer is bound to, after each change."""
    guest = stage.guest(guests.getpid_loop, platform=stage.platform_with(placement=Placement.FOLLOW))
    cpus = sorted(os.sched_getaffinity(0))[:2]

    def wander() -> None:
        for cpu in cpus * (1 + stage.trial.repeat):
            os.sched_setaffinity(0, {cpu})
            makes_calls(guest, 3)
            ran_on = cpu_of(guest_thread(guest))
            assert ran_on == cpu, f"the tracer is on CPU {cpu}, and its guest ran on CPU {ran_on}"

    in_a_thread_that_ends(stage, wander)


@scenario("EV06", "K75", clauses=("seed.W24", "gvisor f3172c3a1", "sched_setaffinity(2)"), needs="smp")
def no_pinning_outlives_the_tracer(stage: Stage) -> None:
    """After its tracer has ended, a stub may run on every CPU it could run on before."""
    cpus = os.sched_getaffinity(0)
    for placement in Placement:
        guest = _of_threads_that_end(stage, placement, wander)
        kept = {tid: mask for tid in threads_of(pid_of(guest)) if (mask := os.sched_getaffinity(tid)) != cpus}
        assert not kept, f"{placement}: threads may run on {kept} only"
        assert os.sched_getaffinity(0) == cpus


def _of_threads_that_end(stage: Stage, placement: Placement, run: Callable[[Guest], None]) -> Guest:
    """A guest that one thread made and another ran; both have ended, so nothing traces its stub."""
    made: list[Guest] = []
    platform = stage.platform_with(placement=placement)
    in_a_thread_that_ends(stage, lambda: made.append(stage.guest(guests.getpid_loop, platform=platform)))
    in_a_thread_that_ends(stage, lambda: run(made[0]))
    return made[0]


def wander(guest: Guest) -> None:
    """Switch a guest on one CPU, on another, and unbound."""
    cpus = sorted(os.sched_getaffinity(0))
    for allowed in ({cpus[0]}, {cpus[1]}, set(cpus)):
        os.sched_setaffinity(0, allowed)
        makes_calls(guest, 3)


@scenario("EV06", "K75", clauses=("gvisor f3172c3a1", "cpuset(7)"), needs="smp cpuset")
def a_guest_gets_on_where_it_may_not_follow(stage: Stage) -> None:
    """A stub that is restricted to its tracer's CPU or to another runs there, and is not pinned afterwards."""
    cpus = sorted(os.sched_getaffinity(0))[:2]
    for placement in Placement:
        with group_of("cpuset") as group:
            guest = _of_threads_that_end(stage, placement, lambda guest: shrink(guest, group, cpus))
            group.set({"cpuset.cpus": f"{cpus[0]},{cpus[1]}"})
            for tid in threads_of(pid_of(guest)):
                allowed = os.sched_getaffinity(tid)
                assert allowed == set(cpus), f"{placement}: thread {tid} may run on {allowed} only"
            guest.space.release()
            guest.platform.close()


def shrink(guest: Guest, group: Group, cpus: list[int]) -> None:
    """Switch a guest whose stub may use only one CPU, then only the other, with its tracer in place."""
    os.sched_setaffinity(0, {cpus[0]})
    makes_calls(guest, 3)
    for cpu in cpus:
        group.set({"cpuset.cpus": cpu})
        group.add(pid_of(guest))
        makes_calls(guest, 3)
        ran_on = cpu_of(guest_thread(guest))
        assert ran_on == cpu, f"a stub that may run on CPU {cpu} ran on CPU {ran_on}"


@scenario("EV10", clauses=("Shadow#1134", "seed.W18"), needs="syscall_info", quick=8, normal=32, soak=128, deadline=60)
def idle_tracees_cost_a_switch_nothing(stage: Stage) -> None:
    """A thread with many idle tracees makes no more system calls per switch than a thread with one tracee."""
    few, many = (_calls_of_switches(stage, count) for count in (1, stage.trial.repeat))
    stage.trial.note(f"{COUNTED_SWITCHES} switches take {few} calls without other tracees, {many} with idle ones")
    allowed = (
        COUNTED_SWITCHES * stage.trial.repeat // 2
    )  # one call more per switch may be chance, one per tracee may not
    assert many - few < allowed, f"with {stage.trial.repeat} tracees: {many} calls, {few} without"


def _calls_of_switches(stage: Stage, tracees: int) -> int:
    """The number of system calls of a thread that switches in the last of so many stubs."""

    def work(line: Line) -> None:
        every = [stage.guest(guests.getpid_loop) for _ in range(tracees)]
        for guest in every:
            makes_calls(guest, 2)
        line.send(threading.get_native_id())
        line.receive(10)
        os.getppid()
        makes_calls(every[-1], COUNTED_SWITCHES)
        os.getppid()

    harness = children.fork(stage, work)
    tid = harness.hear(20)
    assert isinstance(tid, int)
    begun = threading.Event()
    counting = stage.thread(lambda: calls_between(tid, MARK, begun.set))
    stage.wait_until(lambda: begun.is_set() or counting.is_over, claim="the counting begins")
    harness.line.send("go")
    count = counting.result(10)
    harness.result(5)
    harness.wait(5)
    return count


# --------------------------------------------------------------------------------------------------------------- pieces


def pid_of(guest: Guest) -> int:
    """The process that a guest runs in."""
    return guest.stage.inspect(guest.space).stub.pid


def guest_thread(guest: Guest) -> int:
    """The one thread of a guest's stub that this thread traces."""
    tracer = str(threading.get_native_id())
    (tid,) = (tid for tid in threads_of(pid_of(guest)) if status_of(tid, "TracerPid") == tracer)
    return tid


def cpu_of(tid: int) -> int:
    """The CPU on which a thread last ran."""
    return int(Path(f"/proc/{tid}/stat").read_text().rpartition(")")[2].split()[36])
