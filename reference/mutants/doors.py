"""Mutants of the entry points to the kernel: calls reported wrongly, modes that persist, entries left open."""

from __future__ import annotations

import signal
from dataclasses import replace

from worldswitch.harness.contract import Access, Event, Fault, State, Syscall
from worldswitch.reference._core import ffi, lib
from worldswitch.reference.address_space import PtraceAddressSpace
from worldswitch.reference.birth_plan import StubPlan
from worldswitch.reference.context import CODE_SEGMENT, NUMBER, PC, SP, PtraceContext
from worldswitch.reference.mutants import mutant
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stub_creation import StubCreation
from worldswitch.reference.tracee import Tracee
from worldswitch.reference.x86_64 import NO_CALL, VSYSCALL_PAGE

NT_PRSTATUS = 1  # include/uapi/linux/elf.h

# ---------------------------------------------------------------------------------------------------------- 32-bit mode


class _RegsetContext(PtraceContext):
    def _event_of(self, space: PtraceAddressSpace, tracee: Tracee, state: State, result: int) -> Event | None:
        if state.words[CODE_SEGMENT] != tracee.handle.segments.cs:
            vector = ffi.new(
                "unsigned long[2]", [int(ffi.cast("unsigned long", self._registers)), len(state.registers)]
            )
            tracee.request(lib.PTRACE_GETREGSET, NT_PRSTATUS, vector)
        return super()._event_of(space, tracee, state, result)


@mutant(
    caught_by=("doors::a_fault_in_32_bit_code_is_whole", "doors::int_0x80_from_32_bit_code_says_so"),
    origin="seed.W11: NT_PRSTATUS follows the tracee's code segment, and the length is not checked",
)
class ReadsRegistersByRegset(PtracePlatform):
    """Reads the 68 bytes of a thread in 32-bit mode into the 64-bit registers."""

    context_class = _RegsetContext


class _CapturingContext(PtraceContext):
    def _event_of(self, space: PtraceAddressSpace, tracee: Tracee, state: State, result: int) -> Event | None:
        event = super()._event_of(space, tracee, state, result)
        tracee.handle.segments = self._registers[0]
        tracee.handle.segments.orig_rax = NO_CALL
        return event


@mutant(
    caught_by=("doors::a_thread_that_was_in_32_bit_mode_serves_others",),
    origin="gvisor e27608390: a thread's first registers, captured not once but wherever it stood",
)
class CapturesSegmentsAgain(PtracePlatform):
    """Resumes each guest in the mode that the last one left the thread in."""

    context_class = _CapturingContext


class _EmulatingContext(PtraceContext):
    def _foreign_syscall(self, tracee: Tracee, state: State) -> Event:
        return Syscall(state.words[NUMBER])  # sysenter: an i386 call on Intel's processors, invalid on AMD's

    def _signal(self, space: PtraceAddressSpace, tracee: Tracee, state: State) -> Event | None:
        event = super()._signal(space, tracee, state)
        return Syscall(state.result) if getattr(event, "signo", 0) == signal.SIGILL else event


@mutant(
    caught_by=(
        "doors::sysenter_is_no_native_call",
        "doors::the_other_instructions_from_32_bit_code_are_no_native_calls",
    ),
    origin="pitfall 19: sysenter is an invalid instruction, and was emulated",
)
class EmulatesMissingDoors(PtracePlatform):
    """Reports an invalid instruction, and an i386 call, as a native system call."""

    context_class = _EmulatingContext


# ------------------------------------------------------------------------------------------------------------- vsyscall


class _PatchingContext(PtraceContext):
    def _signal(self, space: PtraceAddressSpace, tracee: Tracee, state: State) -> Event | None:
        event = super()._signal(space, tracee, state)
        if state.words[PC] not in VSYSCALL_PAGE or isinstance(event, Fault):
            return event
        state.words[SP] -= 8
        return Fault(signal.SIGSEGV, 1, state.pc, Access.EXECUTE)


@mutant(caught_by=("EX13",), origin="seed.patchSignalInfo for every signal in that page, and not the filter's only")
class PatchesWhateverFaultsThere(PtracePlatform):
    """Pushes a return address for a fault in the vsyscall page that was no call."""

    context_class = _PatchingContext


# ----------------------------------------------------------------------------------------------------------- open doors


class _UnfilteredCreation(StubCreation):
    def make_plan(self, go: int) -> StubPlan:
        plan = super().make_plan(go)
        return replace(plan, steps=plan.steps[:-1])


class _Unfiltered(PtracePlatform):
    stub_creation_class = _UnfilteredCreation


class _LooseContext(PtraceContext):
    RUN = STEP = lib.PTRACE_CONT


@mutant(caught_by=("EX19",), origin="seed.I6: no system call of a guest's, by any entry point; gvisor#6328")
class LetsGuestsOut(_Unfiltered):
    """Has neither system call emulation nor a filter behind it."""

    context_class = _LooseContext


class _LooselySteppingContext(PtraceContext):
    STEP = 9  # PTRACE_SINGLESTEP, linux/ptrace.h


@mutant(caught_by=("EX19",), origin="gvisor: PTRACE_SINGLESTEP where PTRACE_SYSEMU_SINGLESTEP is meant")
class LetsSteppedGuestsOut(_Unfiltered):
    """Steps guests by a request that does not emulate their system calls, and has no filter behind it."""

    context_class = _LooselySteppingContext
