"""What a signal says of itself: nothing in a siginfo_t makes a foreign signal the guest's, or an interrupt.

A positive code is the kernel's, but not only for faults: it also tells of children that end and of files that are
ready.  And a SIGTRAP may be a breakpoint, a stop of ptrace, or anybody's kill.
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
from worldswitch.scenarios.stage.senders import FORGEABLE_CODES, Sender
from worldswitch.scenarios.stage.stage import Stage
from worldswitch.scenarios.stage.steady_guests import GETPID, Computing
from worldswitch.scenarios.stage.waiting_calls import Room, Waiting, injected, no_child_left

#: What a file that is ready may send.  With most of them comes POLL_IN, which is 1, as SEGV_MAPERR is.
READY = (signal.SIGIO, signal.SIGUSR1, signal.SIGSEGV, signal.SIGBUS, signal.SIGTRAP, signal.SIGCHLD, signal.SIGRTMIN)

F_SETSIG = 10  # <linux/fcntl.h>

#: What takes a child where its parent is told of it, and the states it is then in.
CHILD_STATES = {signal.SIGSTOP: "T", signal.SIGCONT: "RS", signal.SIGKILL: "Z"}


# ------------------------------------------------------------------------------------------ traps


@scenario("SG09", "K20", clauses=("seed.switchToApp", "ptrace(2) PTRACE_O_TRACESYSGOOD"), normal=5, soak=200)
def a_foreign_sigtrap_is_no_event_of_a_guest(stage: Stage) -> None:
    """A SIGTRAP from elsewhere, honest or forged, is neither a system call of a guest that computes nor a trap."""
    with Sender() as other, Computing(stage) as guest:
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
    """Beside a foreign SIGTRAP that waits, a guest's breakpoint is one trap, and its system call one call."""
    with Sender() as other:
        for _ in range(stage.trial.repeat):
            guest = stage.guest(guests.int3)
            other.kill(stage.inspect(guest.space).stub.pid, signal.SIGTRAP)
            trap, call = stage.bounded(lambda: (guest.switch(), guest.switch()))  # noqa: B023 (called at once)
            assert isinstance(trap, Signal), f"a breakpoint was {trap}"
            assert (trap.signo, call) == (signal.SIGTRAP, GETPID)


@scenario("SG09", "K20", clauses=("seed.syscall", "seed.W13"), normal=5, soak=200)
def a_foreign_sigtrap_does_not_end_an_injected_call(stage: Stage) -> None:
    """A SIGTRAP from elsewhere takes an injected call out of the kernel, and the call goes on to its own result."""
    room = Room(stage)
    with Sender() as other:
        for _ in range(stage.trial.repeat):
            waiting = Waiting(room, room.read())
            waiting.goes_on_despite(other, *[signal.SIGTRAP] * 3)
            waiting.ends_with_its_result()
            assert room.memory[0:1] == b"!"
            room.memory[0:1] = b"\0"


# ------------------------------------------------------------------------------------------ positive codes


@scenario("SG13", clauses=("seed.W10", "kernel.I4", "kernel.I5", "fcntl(2) F_SETSIG"), normal=3, soak=100)
def a_file_that_is_ready_is_no_fault(stage: Stage) -> None:
    """A signal that tells of a file, with a positive code from the kernel, is nothing a guest did."""
    with Computing(stage) as guest:
        for signo in READY * stage.trial.repeat:
            with telling(guest.pid, signo) as sink:
                os.write(sink, b"!")
                guest.is_undisturbed(f"signal {signo} of a file that is ready")
        guest.ends_when_interrupted()


@contextlib.contextmanager
def telling(pid: int, signo: int) -> Iterator[int]:
    """The one end of a pipe that tells process `pid` by a signal when something comes out of the other."""
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
    """The SIGCHLD of a child of the stub, with a positive code from the kernel, is nothing a guest did."""
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
