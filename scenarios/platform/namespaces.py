"""Platforms in a PID namespace of their own: how it ends with them, and how its thread ids come again.

The harness is PID 1 there.  The kernel ends a namespace with its PID 1, and keeps that from going before all others
have gone; and root in it may say which id is to be given out next.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from functools import partial

from worldswitch.harness.contract import Died, Syscall
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage import children
from worldswitch.scenarios.stage.children import Child, Line, Namespace
from worldswitch.scenarios.stage.deaths import LOST, outcome_of
from worldswitch.scenarios.stage.pacing import running
from worldswitch.scenarios.stage.pid_reuse import let_next_be
from worldswitch.scenarios.stage.processes import descendants_of, status_of
from worldswitch.scenarios.stage.stage import Guest, Stage
from worldswitch.scenarios.stage.steady_guests import counts
from worldswitch.scenarios.stage.thread_exits import ORDINARY, by_vanishing, depart


@scenario("LC13", clauses=("gvisor cc1f5503f", "pid_namespaces(7)", "kernel 8fb335e07837"), needs="pidns", soak=20)
def a_pid_namespace_ends_with_its_platform(stage: Stage) -> None:
    """PID 1, with guests in mid-run and idle tracing threads, closes its platform, exits or is killed: all is gone."""
    for _ in range(stage.trial.repeat):
        for word in ("close", "exit", "wait to be killed"):
            harness = children.fork(stage, partial(_populate, stage), Namespace.PID)
            assert harness.hear(10) == "populated"
            harness.line.send(word)
            if word == "wait to be killed":
                os.kill(_init_of(harness), signal.SIGKILL)
            harness.wait(3)


@scenario("TT03", "K42", clauses=("seed.W19", "fact.F5", "pid_namespaces(7)"), needs="pidns ns_last_pid", soak=10)
def a_thread_with_the_id_of_one_that_ended_is_another_thread(stage: Stage) -> None:
    """A new thread gets the id of a tracing thread that is gone: its guest goes on exactly, or has died."""
    for _ in range(stage.trial.repeat):
        children.run(stage, lambda _: _succeed_each_other(stage), 30, Namespace.PID)


# ---------------------------------------------------------------------------------------------------------- pieces


def _populate(stage: Stage, line: Line) -> None:
    """Have guests that run and threads that keep theirs standing, and end as told."""
    space = stage.space()
    for _ in range(2):
        running(stage, stage.guest(guests.count_loop, space=space))
        _keep_standing(stage, stage.guest(guests.getpid_loop, space=space))
    _keep_standing(stage, stage.guest(guests.getpid_loop))
    line.send("populated")
    word = line.receive(10)
    if word == "close":
        stage.platform.close()
    elif word != "exit":
        threading.Event().wait()


def _keep_standing(stage: Stage, guest: Guest) -> None:
    """Run a guest to a system call in a thread that then stays."""
    stands = threading.Event()

    def work() -> None:
        guest.syscalls(1)
        stands.set()
        threading.Event().wait()

    threading.Thread(target=work, daemon=True).start()
    stage.wait_until(stands.is_set, 5, "a guest stands")


def _init_of(harness: Child) -> int:
    """PID 1 of the namespace below a harness, as seen from here."""
    (found,) = (pid for pid in descendants_of(harness.pid) if status_of(pid, "NSpid").split()[-1] == "1")
    return found


def _succeed_each_other(stage: Stage) -> None:
    """Have one thread run a guest and end, and another one with its id run it on."""
    other = stage.guest(guests.getpid_loop)
    for ending in ORDINARY:
        guest = stage.guest(guests.vector_loop)
        tid = depart(stage, partial(guest.syscalls, 10), ending)
        _in_namesake(stage, tid, partial(guest.syscalls, 10))
        assert counts(guest) == (20, 20, 20), f"after a thread that ended {ending.__name__}"
    guest = stage.guest(guests.getpid_loop)
    tid = depart(stage, partial(guest.syscalls, 3), by_vanishing)
    event = _in_namesake(stage, tid, partial(outcome_of, guest.switch))
    if isinstance(event, Died):
        assert (event.cause.death, event.cause.signo) in LOST
    else:
        assert event == Syscall(Number.GETPID)
        assert guest.state["r12"] == 3
    other.syscalls(3)
    assert other.state["r12"] == 2


def _in_namesake(stage: Stage, tid: int, work: Callable[[], object]) -> object:
    """What `work` returns in a new thread whose id is `tid`."""
    outcomes: list[object] = []

    def live() -> None:
        if threading.get_native_id() == tid:
            outcomes.append(work())

    def has_come() -> list[object]:
        # It is not free at once: the kernel forgets a thread some time before it gives the id back.
        let_next_be(tid)
        stage.thread(live).result(5)
        return outcomes

    stage.wait_until(has_come, 10, f"a new thread has the id {tid}")
    return outcomes[0]
