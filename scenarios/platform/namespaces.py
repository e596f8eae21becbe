"""Platforms in their own PID namespace: its end, and the reuse of thread ids.

The harness is PID 1 there.  The kernel ends a namespace with its PID 1, which exits only after all others; and root in
the namespace may choose the next id.
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
    """When PID 1, with running guests and idle threads, closes its platform, exits or is killed, nothing remains."""
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
    """A new thread with the id of a tracing thread that ended runs its guest exactly, or the guest has died."""
    for _ in range(stage.trial.repeat):
        children.run(stage, lambda _: _succeed_each_other(stage), 30, Namespace.PID)


# --------------------------------------------------------------------------------------------------------------- pieces


def _populate(stage: Stage, line: Line) -> None:
    """Start running guests and threads with idle guests, and end by `word`."""
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
    stage.wait_until(stands.is_set, 5, "a guest is stopped")


def _init_of(harness: Child) -> int:
    """The pid, as seen here, of PID 1 in the namespace below a harness."""
    (found,) = (pid for pid in descendants_of(harness.pid) if status_of(pid, "NSpid").split()[-1] == "1")
    return found


def _succeed_each_other(stage: Stage) -> None:
    """Run a guest in a thread that ends, and again in a new thread with the same id."""
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
    """What `work` returns in a new thread with the id `tid`."""
    outcomes: list[object] = []

    def live() -> None:
        if threading.get_native_id() == tid:
            outcomes.append(work())

    def has_come() -> list[object]:
        # The kernel frees an id some time after its thread is gone.
        let_next_be(tid)
        stage.thread(live).result(5)
        return outcomes

    stage.wait_until(has_come, 10, f"a new thread has the id {tid}")
    return outcomes[0]
