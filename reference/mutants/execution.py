"""Mutants of execution: wrong registers, system calls, traps and vectors."""

from __future__ import annotations

import errno
import signal
from typing import Any

from worldswitch.harness.contract import Access, AddressSpace, Event, Fault, Interrupted, Signal, State, Syscall
from worldswitch.reference._core import ffi, lib
from worldswitch.reference.address_space import PtraceAddressSpace
from worldswitch.reference.context import NUMBER, PtraceContext
from worldswitch.reference.mutants import mutant
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stops import SignalInfo
from worldswitch.reference.tracee import Tracee
from worldswitch.reference.x86_64 import TRAP_FLAG


class _ContextWithoutNumber(PtraceContext):
    def switch(self, address_space: AddressSpace, state: State) -> Event:
        event = super().switch(address_space, state)
        if isinstance(event, Syscall):
            state.result = -errno.ENOSYS
        return event


@mutant(caught_by=("EX01",), origin="what the kernel leaves at a stop; seed.switchToApp puts orig_rax back")
class LeavesTheKernelsResult(PtracePlatform):
    """Leaves -ENOSYS in rax at a system call, where the guest had its number."""

    context_class = _ContextWithoutNumber


class _ForgetfulContext(PtraceContext):
    def switch(self, address_space: AddressSpace, state: State) -> Event:
        state["r15"] = 0
        return super().switch(address_space, state)


@mutant(caught_by=("EX02",), origin="48ea2c34d: arm64's x7 was lost at system call stops")
class LosesARegister(PtracePlatform):
    """Loses one register of the guest's at each switch."""

    context_class = _ForgetfulContext


class _TruncatingContext(PtraceContext):
    def switch(self, address_space: AddressSpace, state: State) -> Event:
        event = super().switch(address_space, state)
        return Syscall(event.number & 0xFFFF_FFFF, event.abi) if isinstance(event, Syscall) else event


@mutant(caught_by=("EX17",), origin="a number kept in an int")
class TruncatesNumbers(PtracePlatform):
    """Reports a system call's number in 32 bits."""

    context_class = _TruncatingContext


class _NativeContext(PtraceContext):
    def _foreign_syscall(self, tracee: Tracee, state: State) -> Event:
        return Syscall(state.words[NUMBER])


@mutant(caught_by=("EX15",), origin="seed.W12, gvisor#167: 32-bit system calls decoded as 64-bit ones")
class ReadsEveryCallAsNative(PtracePlatform):
    """Does not tell ``int $0x80`` from ``syscall``."""

    context_class = _NativeContext


class _LooseContext(PtraceContext):
    RUN = lib.PTRACE_CONT


@mutant(
    caught_by=(
        "EX18",
        "execution::a_system_call_shows_its_number_and_arguments",
        "execution::each_system_call_is_seen_once",
        "execution::two_contexts_keep_their_registers_apart",
        "execution::int_0x80_is_told_from_a_native_call",
        "traps::memory_past_the_end_of_its_file_is_a_bus_error",
        "traps::the_system_calls_behind_vsyscalls_are_ordinary",
    ),
    origin="PTRACE_SYSEMU left out, as on a kernel that has none (gvisor#6328)",
)
class ExecutesSystemCalls(PtracePlatform):
    """Lets guests make their system calls on the host."""

    context_class = _LooseContext


class _SharingContext(PtraceContext):
    def _take(self, tracee: Tracee, state: State) -> Any:
        super()._take(tracee, state)
        return ffi.NULL


@mutant(caught_by=("EX03",), origin="a lazy extended state, the answer to seed.W25, that does not compare owners")
class SharesVectorRegisters(PtracePlatform):
    """Leaves the vector registers of the last context in a stub thread."""

    context_class = _SharingContext


class _DeafContext(PtraceContext):
    def _take(self, tracee: Tracee, state: State) -> Any:
        if state.xstate_version > 0:
            state.xstate_buffer[:] = self.platform.new_state().xstate
        return super()._take(tracee, state)


@mutant(
    caught_by=(
        "vectors::extended_state_moves_between_contexts_by_its_image",
        "images::the_control_word_counts_whatever_the_header_lists",
    ),
    origin="microsoft/WSL#3978: registers that were set are not the ones the thread runs with",
)
class IgnoresWrittenImages(PtracePlatform):
    """Replaces an extended state that the caller wrote by a fresh one."""

    context_class = _DeafContext


class _CarelessContext(PtraceContext):
    def _deliver(self, space: PtraceAddressSpace, state: State, event: Event) -> Event:
        if event == Interrupted():
            state.write_xstate(self.platform.new_state().xstate)
        return super()._deliver(space, state, event)


@mutant(
    caught_by=("vectors::an_interrupted_guest_keeps_its_vectors",),
    origin="seed.W28 over-corrected: the extended state is read at system calls and faults only",
)
class LosesVectorsWhenInterrupted(PtracePlatform):
    """Resumes an interrupted guest with fresh vector registers."""

    context_class = _CarelessContext


class _FlaglessContext(PtraceContext):
    def switch(self, address_space: AddressSpace, state: State) -> Event:
        event = super().switch(address_space, state)
        state["eflags"] &= ~TRAP_FLAG
        return event


@mutant(
    caught_by=("EX09", "phases::a_guest_that_is_stepped_sees_the_trap_flag_it_has"),
    origin="single-step ownership: clearing a trap flag that the guest itself had set",
)
class ClearsTheTrapFlag(PtracePlatform):
    """Clears every trap flag after a switch."""

    context_class = _FlaglessContext


class _AddressingContext(PtraceContext):
    def _signal(self, space: PtraceAddressSpace, tracee: Tracee, state: State) -> Event | None:
        event = super()._signal(space, tracee, state)
        if isinstance(event, Signal) and event.signo == signal.SIGSEGV:
            return Fault(event.signo, event.code, event.address, Access.READ)
        return event


@mutant(
    caught_by=(
        *("EX11", "FT05", "faults::a_protection_fault_between_makes_it_another_fault"),
        "unloadable::a_program_counter_nobody_can_have_is_the_guests_fault",
    ),
    origin="seed.W10: everything from the kernel is a fault at its si_addr",
)
class ReportsProtectionFaultsAtZero(PtracePlatform):
    """Reports a general protection fault as an access to address 0."""

    context_class = _AddressingContext


class _UnpatchedContext(PtraceContext):
    def _vsyscall(self, state: State, info: SignalInfo) -> Event:
        return Signal(info.signo, info.code, info.address)


@mutant(caught_by=("EX12",), origin="463e73d46, e7191f058: the filter's SIGSYS reached the guest")
class ReportsTheFiltersSignal(PtracePlatform):
    """Reports a vsyscall as the signal that the stub's filter raised for it."""

    context_class = _UnpatchedContext


class _SkippingContext(PtraceContext):
    def switch(self, address_space: AddressSpace, state: State) -> Event:
        event = super().switch(address_space, state)
        if isinstance(event, Syscall) and self._holder is not None:
            self._holder.request(lib.PTRACE_SYSCALL)
            self._holder.wait()
        return event


@mutant(
    caught_by=("K21",), origin="kernel.S2: PTRACE_SYSCALL after a SYSEMU stop leads to the exit of the skipped call"
)
class StopsBehindTheCall(PtracePlatform):
    """Stops a guest at the exit of its system call, where the call can no longer be changed."""

    context_class = _SkippingContext
