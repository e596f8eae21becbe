"""What a resumed thread is in the middle of: no system call and no single step, unless the guest itself is.

The kernel acts on that.  With a call's number in orig_rax and a pending signal, a result between -516 and -512 makes it
repeat the call (kernel.R2); with TF set by a tracer, it traps once more and shows the flag to the guest's pushf
(kernel.S3).

Seed: subprocess.switchToApp.
"""

from __future__ import annotations

import signal
import threading

from worldswitch.harness.contract import Interrupted, Signal, StubDied, Syscall
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage.deaths import KILLED, kill, wait_until_gone
from worldswitch.scenarios.stage.processes import status_of
from worldswitch.scenarios.stage.senders import tgkill
from worldswitch.scenarios.stage.stage import Guest, Stage
from worldswitch.scenarios.stage.waiting_calls import Room, Waiting

#: The kernel's private results (include/linux/errno.h).
RESTARTS = (512, 513, 514, 515, 516)

TRAP_FLAG = 0x100  # asm/processor-flags.h
TRAP_TRACE = 2  # asm-generic/siginfo.h

GETPID = Syscall(Number.GETPID)

# ----------------------------------------------------------------------------------------------------- in a system call


@scenario("EX08", clauses=("seed.W14", "kernel.R2", "fact.E8"))
def a_result_that_looks_like_a_restart_is_none_when_a_signal_comes(stage: Stage) -> None:
    """A result that looks like a restart code repeats no call, even with a signal pending in the guest's thread."""
    guest = stage.guest(guests.getpid_loop)
    assert guest.switch() == GETPID
    for count, error in enumerate(RESTARTS):
        guest.state.result = -error
        _signal_its_thread(stage, guest)
        assert guest.switch() == GETPID
        assert guest.state["r12"] == count + 1
        assert guest.state.arguments[0] == (1 << 64) - error


@scenario("EX08", "K18", clauses=("seed.W14", "seed.I15", "kernel.R2"), quick=2, normal=10, soak=200)
def an_interrupted_guest_may_hold_what_looks_like_a_restart(stage: Stage) -> None:
    """A guest that computes with a restart code in rax keeps rip and rax through interrupts."""
    guest = stage.guest(guests.door_syscall, rax=Number.GETPID)
    for error in RESTARTS * stage.trial.repeat:
        guest.state.pc, guest.state.result = guest.code, Number.GETPID
        assert guest.switch() == GETPID
        counting = stage.load(guests.count_loop, guest.space)
        guest.state.pc, guest.state.result = counting, -error
        for _ in range(2):
            _signal_its_thread(stage, guest)
            interrupting = stage.thread(_interrupt, stage, guest, guest.data.word())
            assert guest.switch() == Interrupted()
            interrupting.result()
            assert guest.state.result == (1 << 64) - error
            assert 0 <= guest.state.pc - counting < len(guests.count_loop.code)
            assert guest.state["r12"] - guest.data.word() in (0, 1)


@scenario("LC03", "K16", clauses=("kernel.S4", "seed.W4"), quick=1, normal=5, soak=100)
def a_stub_killed_within_an_injected_call_is_a_typed_death(stage: Stage) -> None:
    """A stub killed between the entry and exit of an injected call is reported to the caller at once."""
    for _ in range(stage.trial.repeat):
        room = Room(stage)
        waiting = Waiting(room, room.read())
        kill(waiting.pid)
        outcome = waiting.running.result()
        assert isinstance(outcome, StubDied), f"a call in a killed stub gave {outcome!r}"
        assert outcome.cause == KILLED
        wait_until_gone(stage, waiting.pid)


# ----------------------------------------------------------------------------------------------------- in a single step


@scenario("EX10", clauses=("kernel.S3", "fact.D2"))
def a_guest_that_does_not_step_sees_no_trap_flag(stage: Stage) -> None:
    """A guest that is not stepped sees no trap flag, in pushf or r11, while other guests on its thread are stepped."""
    guest = stage.guest(guests.read_flags)
    stepped = stage.guest(guests.getpid_loop, space=guest.space)
    stepped.state["eflags"] |= TRAP_FLAG
    for _ in range(4):
        assert isinstance(stepped.switch(), Signal | Syscall)
        assert guest.switch() == GETPID
        seen = {name: guest.state[name] & TRAP_FLAG for name in ("rsi", "r11", "eflags")}
        assert seen == {"rsi": 0, "r11": 0, "eflags": 0}


@scenario("EX10", clauses=("kernel.S3", "fact.C4"))
def a_guest_that_is_stepped_sees_the_trap_flag_it_has(stage: Stage) -> None:
    """A guest whose state has the trap flag sees it in pushf and in its system call's r11."""
    guest = stage.guest(guests.read_flags)
    guest.state["eflags"] |= TRAP_FLAG
    for _ in range(10):
        if guest.switch() == GETPID:
            break
    assert {name: guest.state[name] & TRAP_FLAG for name in ("rsi", "r11")} == {"rsi": TRAP_FLAG, "r11": TRAP_FLAG}


@scenario("EX10", "K15", clauses=("kernel.S3", "test step-jump-cont"), quick=1, normal=5, soak=50)
def stepping_ends_with_the_trap_flag(stage: Stage) -> None:
    """A guest whose state's trap flag is cleared gets no further trap."""
    guest = stage.guest(guests.count_loop)
    for _ in range(stage.trial.repeat):
        guest.state["eflags"] |= TRAP_FLAG
        for _ in range(5):
            event = guest.switch()
            assert event == Signal(signal.SIGTRAP, TRAP_TRACE, guest.state.pc)
        guest.state["eflags"] &= ~TRAP_FLAG
        interrupting = stage.thread(_interrupt, stage, guest, guest.data.word() + 100_000)
        assert guest.switch() == Interrupted()
        interrupting.result()
        assert not guest.state["eflags"] & TRAP_FLAG


# -------------------------------------------------------------------------------------------------------------- helpers


def _signal_its_thread(stage: Stage, guest: Guest) -> None:
    """Make a signal pend in the stopped threads that the calling thread traces."""
    stub = stage.inspect(guest.space).stub
    tracer = str(threading.get_native_id())
    for tid in stub.tids:
        if status_of(tid, "TracerPid") == tracer:
            tgkill(stub.pid, tid, signal.SIGUSR1)


def _interrupt(stage: Stage, guest: Guest, begin: int) -> None:
    """Interrupt the guest once its count exceeds `begin`."""
    stage.wait_until(lambda: guest.data.word() > begin, claim="the guest computes")
    guest.context.interrupt()
