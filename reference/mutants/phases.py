"""Mutants that resume a thread as if it were in a system call or a single step."""

from __future__ import annotations

import errno
import signal
from typing import Any

from worldswitch.harness.contract import AddressSpace, Event, Signal, State, StubDied
from worldswitch.reference._core import lib
from worldswitch.reference.context import PtraceContext
from worldswitch.reference.mutants import mutant
from worldswitch.reference.mutants._parts import stub_of
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stubprocess import StubProcess
from worldswitch.reference.tracee import Tracee
from worldswitch.reference.x86_64 import TRAP_FLAG

SYS_KILL = 62  # the seed's stub stops itself by kill(2), and that is where its first registers are from


class _SeedsStub(StubProcess):
    def segments_to(self, handle: Any) -> None:
        super().segments_to(handle)
        handle.segments.orig_rax = SYS_KILL


@mutant(caught_by=("EX08",), origin="seed.W14, pitfall 21: initRegs.orig_rax is kept; kernel.R2")
class KeepsACallsNumber(PtracePlatform):
    """Resumes guests as if they came out of a system call, which the kernel then makes again."""

    stub_class = _SeedsStub


class _SteppingContext(PtraceContext):
    RUN = lib.PTRACE_SYSEMU_SINGLESTEP

    def _signal(self, space: Any, tracee: Tracee, state: State) -> Event | None:
        event = super()._signal(space, tracee, state)
        is_own = event == Signal(signal.SIGTRAP, 2, state.pc) and not state["eflags"] & TRAP_FLAG
        return None if is_own else event


@mutant(
    caught_by=("phases::a_guest_that_does_not_step_sees_no_trap_flag",),
    origin="kernel.S3, fact.D2: a flag forced by the tracer is hidden from GETREGS and shown to pushf",
)
class StepsEveryGuest(PtracePlatform):
    """Single-steps every guest, and hides the traps from the callers."""

    context_class = _SteppingContext


class _SteppedOnce(PtraceContext):
    def switch(self, address_space: AddressSpace, state: State) -> Event:
        if state["eflags"] & TRAP_FLAG:
            self._admission.run = self.STEP
        return super().switch(address_space, state)


@mutant(caught_by=("phases::stepping_ends_with_the_trap_flag",), origin="Linux 5.11-rc, rr#2793: a step too many")
class NeverStopsStepping(PtracePlatform):
    """Goes on stepping a guest that has cleared its trap flag."""

    context_class = _SteppedOnce


class _OptimisticTracee(Tracee):
    def call_once(self, number: int, *arguments: int) -> int:
        try:
            return super().call_once(number, *arguments)
        except StubDied:
            return -errno.EINTR


@mutant(
    caught_by=("phases::a_stub_killed_within_an_injected_call_is_a_typed_death",),
    origin="kernel.S4: a fatal signal between entry and exit, and no exit to read a result at",
)
class TakesDeathForAnInterruption(PtracePlatform):
    """Reports a call whose stub was killed as interrupted."""

    stub_class = stub_of(_OptimisticTracee)
