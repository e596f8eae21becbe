"""Mutants that load less than a guest can set, or report an address where there is none."""

from __future__ import annotations

import errno
import signal
import weakref
from typing import Any

from worldswitch.harness.arch import registers
from worldswitch.harness.contract import Access, AddressSpace, Event, Fault, HostError, Signal, State
from worldswitch.reference._core import ffi
from worldswitch.reference.address_space import PtraceAddressSpace
from worldswitch.reference.context import PtraceContext
from worldswitch.reference.mutants import mutant
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stub_page import FOUR_LEVELS_END
from worldswitch.reference.tracee import Tracee

BASES = ("fs_base", "gs_base")
IGNORED = registers.INDEX["gs_base"]
KERNELS = 0xFFFF_8000_0000_0000
IDENTIFICATION = 0x20_0000  # asm/processor-flags.h


class _DeferentialContext(PtraceContext):
    def switch(self, address_space: AddressSpace, state: State) -> Event:
        if any(state[base] >= FOUR_LEVELS_END for base in BASES):
            raise HostError(errno.EIO, "PTRACE_SETREGS")
        return super().switch(address_space, state)


@mutant(
    caught_by=(
        "round_trips::bases_of_the_kernels_half_go_round",
        "round_trips::bases_of_the_kernels_half_are_nobody_elses",
        "round_trips::a_guest_with_such_bases_is_interrupted_like_any_other",
        "snippets::a_state_goes_round_whatever_the_guest_did",
    ),
    origin="arch/x86/kernel/ptrace.c putreg: fs_base and gs_base below TASK_SIZE_MAX only",
)
class RefusesBasesThatAGuestSet(PtracePlatform):
    """Loads only the segment bases that PTRACE_SETREGS takes."""

    context_class = _DeferentialContext


class _MaskingContext(PtraceContext):
    def switch(self, address_space: AddressSpace, state: State) -> Event:
        for base in BASES:
            if state[base] >= KERNELS:
                state[base] &= (1 << 47) - 1
        return super().switch(address_space, state)


@mutant(
    caught_by=("round_trips::bases_of_the_kernels_half_go_round",),
    origin="a base that is made acceptable instead of loaded",
)
class CutsBases(PtracePlatform):
    """Cuts segment bases to the width of user addresses."""

    context_class = _MaskingContext


class _ImpatientContext(PtraceContext):
    def _interruption(self) -> Event | None:
        event = super()._interruption()
        if event is not None and self._state is not None and self._state["fs_base"] >= FOUR_LEVELS_END:
            self._state["fs_base"] = 0
        return event


@mutant(
    caught_by=("round_trips::a_guest_with_such_bases_is_interrupted_like_any_other",),
    origin="the state of the stub's own code that sets a base, taken for the guest's when an interrupt comes",
)
class LosesBasesWhenInterrupted(PtracePlatform):
    """Zeroes a guest's fs base in the kernel's half when its switch is interrupted."""

    context_class = _ImpatientContext


class _FlagDroppingContext(PtraceContext):
    def switch(self, address_space: AddressSpace, state: State) -> Event:
        state["eflags"] &= ~IDENTIFICATION
        return super().switch(address_space, state)


@mutant(
    caught_by=(
        "round_trips::flags_that_a_guest_sets_go_round",
        "snippets::a_state_goes_round_whatever_the_guest_did",
    ),
    origin="arch/x86/kernel/ptrace.c FLAG_MASK, which lacks the ID flag",
)
class DropsTheIdFlag(PtracePlatform):
    """Loads only the flags that PTRACE_SETREGS writes."""

    context_class = _FlagDroppingContext


class _FlagLeakingContext(PtraceContext):
    def switch(self, address_space: AddressSpace, state: State) -> Event:
        if address_space in _flags:
            state["eflags"] = state["eflags"] & ~IDENTIFICATION | _flags[address_space]
        event = super().switch(address_space, state)
        _flags[address_space] = state["eflags"] & IDENTIFICATION
        return event


#: The ID flag that the last guest in each address space had.
_flags: weakref.WeakKeyDictionary[AddressSpace, int] = weakref.WeakKeyDictionary()


@mutant(
    caught_by=("round_trips::flags_that_a_guest_sets_are_nobody_elses",),
    origin="arch/x86/kernel/ptrace.c FLAG_MASK: a flag that is not written is the thread's last guest's",
)
class LeaksTheIdFlag(PtracePlatform):
    """Leaves the ID flag of one guest to the next on its stub thread."""

    context_class = _FlagLeakingContext


class _AligningContext(PtraceContext):
    def _signal(self, space: PtraceAddressSpace, tracee: Tracee, state: State) -> Event | None:
        event = super()._signal(space, tracee, state)
        if isinstance(event, Signal) and event.signo == signal.SIGBUS:
            return Fault(event.signo, event.code, event.address, Access.READ)
        return event


@mutant(
    caught_by=("faults::an_unaligned_access_is_no_fault_at_zero",),
    origin="arch/x86/kernel/traps.c: BUS_ADRALN with NULL, a code below SI_KERNEL without an address",
)
class ReportsUnalignedAccessesAtZero(PtracePlatform):
    """Reports an alignment check as an access to address 0."""

    context_class = _AligningContext


class _PartlyComparingContext(PtraceContext):
    _last: bytes = b""

    def switch(self, address_space: AddressSpace, state: State) -> Event:
        changed = [i for i, word in enumerate(memoryview(self._last).cast("Q")) if word != state.words[i]]
        if changed == [IGNORED] and self._state is state:
            state.words[IGNORED] = memoryview(self._last).cast("Q")[IGNORED]
        event = super().switch(address_space, state)
        self._last = bytes(state.registers)
        return event


@mutant(
    caught_by=("round_trips::a_register_with_a_meaning_of_its_own_is_changed_alone",),
    origin="registers that are loaded only if they changed, compared without the last ones of the struct",
)
class ComparesAllButOneRegister(PtracePlatform):
    """Loads a changed gs base only if another register changed too."""

    context_class = _PartlyComparingContext


class _SwappingContext(PtraceContext):
    def switch(self, address_space: AddressSpace, state: State) -> Event:
        event = super().switch(address_space, state)
        state["r8"], state["r9"] = state["r9"], state["r8"]
        return event


@mutant(
    caught_by=("round_trips::a_register_that_alone_was_changed_is_changed",),
    origin="a table of registers with two names in the wrong order",
)
class SwapsTwoRegisters(PtracePlatform):
    """Swaps r8 and r9 at each event."""

    context_class = _SwappingContext


class _TransitiveContext(PtraceContext):
    def _bind(self, state: State) -> None:
        holder, version = self._holder, self._loaded_version
        super()._bind(state)
        if holder is not None and version >= 0:
            holder.user, self._holder, self._loaded_version = self, holder, state.xstate_version


@mutant(
    caught_by=("vectors::a_new_state_has_its_own_vectors",),
    origin="a lazy extended state, the answer to seed.W25, that compares contexts but not states",
)
class TakesVectorsToTheNextState(PtracePlatform):
    """Runs a context's new state with the vector registers of its last one."""

    context_class = _TransitiveContext


class _InheritingContext(PtraceContext):
    def _take(self, tracee: Tracee, state: State) -> Any:
        user = tracee.user
        taken = super()._take(tracee, state)
        inherits = isinstance(user, PtraceContext) and user.resident and state.xstate_version == 0
        return ffi.NULL if inherits else taken


@mutant(
    caught_by=("vectors::a_fresh_context_beside_another_has_fresh_vectors",),
    origin="an image that was never written taken for one that need not be loaded",
)
class LeavesAResidentsVectors(PtracePlatform):
    """Leaves a resident context's vector registers to a fresh context on its stub thread."""

    context_class = _InheritingContext


class _KeepingContext(PtraceContext):
    def fetch_from(self, tracee: Tracee) -> None:
        """Read the extended state, and leave its memory to the thread."""
        resident = tracee.handle.resident
        super().fetch_from(tracee)
        tracee.handle.resident = resident


@mutant(
    caught_by=("vectors::a_resident_context_that_gave_way_keeps_its_vectors_when_its_thread_ends",),
    origin="a lazy extended state, the answer to seed.W25, that is written out twice",
)
class WritesVectorsOutTwice(PtracePlatform):
    """Writes a thread's vector registers into the state of a resident context that another one has displaced."""

    context_class = _KeepingContext


class _LingeringContext(PtraceContext):
    def fetch_from(self, tracee: Tracee) -> None:
        """Read the extended state, and stay the thread's user."""
        super().fetch_from(tracee)
        tracee.user = self


@mutant(
    caught_by=("vectors::a_resident_context_that_moved_keeps_its_vectors_when_its_old_thread_is_used",),
    origin="a lazy extended state, the answer to seed.W25, whose owner is not cleared",
)
class StaysTheUserOfAThread(PtracePlatform):
    """Treats a resident context that was pulled as the user of the thread that it left."""

    context_class = _LingeringContext
