"""Mutants that misread a siginfo_t."""

from __future__ import annotations

import os
import signal

from worldswitch.harness.contract import Event, Signal, State, Syscall
from worldswitch.reference.address_space import PtraceAddressSpace
from worldswitch.reference.context import NUMBER, PtraceContext
from worldswitch.reference.interrupts import NUDGE
from worldswitch.reference.mutants import mutant
from worldswitch.reference.mutants._parts import stub_of
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stops import SignalInfo, Stop, StopKind
from worldswitch.reference.tracee import Tracee


class _SysgoodlessContext(PtraceContext):
    def _signal(self, space: PtraceAddressSpace, tracee: Tracee, state: State) -> Event | None:
        if tracee.signal_info().signo == signal.SIGTRAP:
            return Syscall(state.words[NUMBER])
        return super()._signal(space, tracee, state)


@mutant(
    caught_by=(
        "siginfo::a_foreign_sigtrap_is_no_event_of_a_guest",
        "siginfo::a_guests_own_breakpoint_is_no_system_call",
    ),
    origin="ptrace(2): without PTRACE_O_TRACESYSGOOD a system call's stop is a SIGTRAP like any other",
)
class TakesTrapsForCalls(PtracePlatform):
    """Reports each SIGTRAP of a guest's thread as a system call."""

    context_class = _SysgoodlessContext


class _SysgoodlessTracee(Tracee):
    def wait(self) -> Stop:
        stop = super().wait()
        is_trap = stop.kind is StopKind.SIGNAL and stop.signo == signal.SIGTRAP
        return Stop(StopKind.SYSCALL, stop.signo) if is_trap else stop

    def check_phase(self, expected: int) -> None:
        """Accept any stop."""


@mutant(
    caught_by=("siginfo::a_foreign_sigtrap_does_not_end_an_injected_call",),
    origin="gvisor 17c18241c: an injected call that ends at a breakpoint ends at any SIGTRAP",
)
class TakesTrapsForTheEndsOfCalls(PtracePlatform):
    """Mistakes each SIGTRAP of an injecting thread for the call's next stop."""

    stub_class = stub_of(_SysgoodlessTracee)


class _KernelsContext(PtraceContext):
    def _unasked_signal(self, info: SignalInfo) -> Event | None:
        return Signal(info.signo, info.code) if info.code > 0 else super()._unasked_signal(info)


@mutant(caught_by=("SG13",), origin="seed.W10: a positive code is the kernel's, so it must be a fault")
class PositiveCodesAreFaults(PtracePlatform):
    """Reports the kernel's signals about files and children as faults of the guest."""

    context_class = _KernelsContext


class _FamiliarContext(PtraceContext):
    def _unasked_signal(self, info: SignalInfo) -> Event | None:
        is_ours = info.pid == os.getpid() and info.signo != NUDGE
        return Signal(info.signo, info.code) if is_ours else super()._unasked_signal(info)


@mutant(
    caught_by=("signals::the_harness_own_signals_are_no_signals_of_the_guest",),
    origin="kernel.I1: si_pid is a number in the receiver's PID namespace, which others may bear elsewhere",
)
class PassesTheHarnessSignalsOn(PtracePlatform):
    """Reports signals from the harness, or from another process with its pid, as the guest's."""

    context_class = _FamiliarContext
