"""The siginfo_t of foreign signals: nothing in it makes a signal the guest's, or an interrupt.

A positive code comes from the kernel, but not only for faults: it also reports children that end and files that are
ready.  And a SIGTRAP may be a breakpoint, a ptrace stop, or a kill by any process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
from collections.abc import Iterator
from functools import partial

from worldswitch.harness.contract import Signal
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage.processes import process_state
from worldswitch.scenarios.stage.senders import FORGEABLE_CODES, SignalSender
from worldswitch.scenarios.stage.stage import Stage
from worldswitch.scenarios.stage.steady_guests import GETPID, Computing
from worldswitch.scenarios.stage.waiting_calls import Room, Waiting, injected, no_child_left

#: Signals that a ready file may send.  Most carry POLL_IN, which is 1 like SEGV_MAPERR.
READY = (signal.SIGIO, signal.SIGUSR1, signal.SIGSEGV, signal.SIGBUS, signal.SIGTRAP, signal.SIGCHLD, signal.SIGRTMIN)

F_SETSIG = 10  # <linux/fcntl.h>

#: Signals to a child that are reported to its parent, and the child's states afterwards.
CHILD_STATES = {signal.SIGSTOP: "T", signal.SIGCONT: "RS", signal.SIGKILL: "Z"}


# ---------------------------------------------------------------------------------------------------------------- traps


@scenario("SG09", "K20", clauses=("seed.switchToApp", "ptrace(2) PTRACE_O_TRACESYSGOOD"), normal=5, soak=200)
def a_foreign_sigtrap_is_no_event_of_a_guest(stage: Stage) -> None:
    """A foreign SIGTRAP, forged or not, is no event of a computing guest."""
    with SignalSender() as other, Computing(stage) as guest:
        for _ in range(stage.trial.repeat):
            other.kill(guest.pid, signal.SIGTRAP)
            other.tgkill(guest.pid, guest.tid, signal.SIGTRAP)
            guest.is_undisturbed("SIGTRAP")
            for code in FORGEABLE_CODES.values():
                other.forge(guest.pid, guest.tid, signal.SIGTRAP, code=code, claimed=os.getpid(), value=0)
                guest.is_undisturbed(f"a forged SIGTRAP with code {code}")
        guest.ends_when_interrupted()


@scenario("SG09", "K20", clauses=("seed.switchToApp", "ptrace(2) PTRACE_O_TRACESYSGOOD"), normal=5, soak=200)
def a_guests_own_breakpoint_is_no_system_call(stage: Stage) -> None:
    """With a foreign SIGTRAP pending, a guest's breakpoint is one trap and its system call one call."""
    with SignalSender() as other:
        for _ in range(stage.trial.repeat):
            guest = stage.guest(guests.int3)
            other.kill(stage.inspect(guest.space).stub.pid, signal.SIGTRAP)
            trap, call = stage.bounded(lambda: (guest.switch(), guest.switch()))  # noqa: B023 (called at once)
            assert isinstance(trap, Signal), f"a breakpoint was {trap}"
            assert (trap.signo, call) == (signal.SIGTRAP, GETPID)


@scenario("SG09", "K20", clauses=("seed.syscall", "seed.W13"), normal=5, soak=200)
def a_foreign_sigtrap_does_not_end_an_injected_call(stage: Stage) -> None:
    """A foreign SIGTRAP interrupts an injected call, which continues to its own result."""
    room = Room(stage)
    with SignalSender() as other:
        for _ in range(stage.trial.repeat):
            waiting = Waiting(room, room.read())
            waiting.goes_on_despite(other, *[signal.SIGTRAP] * 3)
            waiting.ends_with_its_result()
            assert room.memory[0:1] == b"!"
            room.memory[0:1] = b"\0"


# ------------------------------------------------------------------------------------------------------- positive codes


@scenario("SG13", clauses=("seed.W10", "kernel.I4", "kernel.I5", "fcntl(2) F_SETSIG"), normal=3, soak=100)
def a_file_that_is_ready_is_no_fault(stage: Stage) -> None:
    """The signal of a ready file, with a positive code from the kernel, is no event of a guest."""
    with Computing(stage) as guest:
        for signo in READY * stage.trial.repeat:
            with telling(guest.pid, signo) as sink:
                os.write(sink, b"!")
                guest.is_undisturbed(f"signal {signo} of a file that is ready")
        guest.ends_when_interrupted()


@contextlib.contextmanager
def telling(pid: int, signo: int) -> Iterator[int]:
    """The writable end of a pipe whose readable end signals process `pid`."""
    source, sink = os.pipe()
    try:
        fcntl.fcntl(source, fcntl.F_SETOWN, pid)
        fcntl.fcntl(source, F_SETSIG, signo)
        fcntl.fcntl(source, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
        yield sink
    finally:
        os.close(source)
        os.close(sink)


@scenario("SG13", clauses=("seed.W10", "kernel.I4", "wait(2) CLD_KILLED"), normal=3, soak=100)
def a_child_that_ends_is_no_fault(stage: Stage) -> None:
    """The SIGCHLD of a child of the stub, with a positive code from the kernel, is no event of a guest."""
    room = Room(stage)
    guest = stage.guest(guests.count_loop, space=room.space, platform=room.platform)
    with no_child_left(room), Computing(stage, guest) as computing:
        for _ in range(stage.trial.repeat):
            child = injected(room.space, Number.CLONE, signal.SIGCHLD)
            for signo, states in CHILD_STATES.items():
                os.kill(child, signo)
                stage.wait_until(partial(_is_in, child, states), claim=f"the child takes signal {signo}")
                computing.is_undisturbed(f"a child that took signal {signo}")
            assert injected(room.space, Number.WAIT4, child, 0, 0, 0) == child
        computing.ends_when_interrupted()


def _is_in(pid: int, states: str) -> bool:
    return (process_state(pid) or "gone") in states
