"""Mutants of faults: the attempted access reported wrongly, and last faults remembered too long."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from worldswitch.harness.contract import Access, AddressSpace, Event, Fault, State, Syscall
from worldswitch.reference.address_space import END_OF_WORDS, PtraceAddressSpace
from worldswitch.reference.context import PC, PtraceContext
from worldswitch.reference.mutants import mutant
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stub_page import PAGE
from worldswitch.reference.tracee import Tracee

SEGV_ACCERR = 2  # asm-generic/siginfo.h


class _MildContext(PtraceContext):
    def _access(self, space: Any, state: State, address: int) -> Access:
        return Access.EXECUTE if address == state.words[PC] else Access.READ


@mutant(caught_by=("FT01",), origin="seed.W26 without the heuristic")
class NeverSaysWrite(PtracePlatform):
    """Reports every write as a read, however often it faults."""

    context_class = _MildContext


class _FetchlessContext(PtraceContext):
    def _access(self, space: Any, state: State, address: int) -> Access:
        access = super()._access(space, state, address)
        return Access.READ if access is Access.EXECUTE else access


@mutant(caught_by=("FT01",), origin="seed.Switch without its test of the program counter")
class TakesFetchesForReads(PtracePlatform):
    """Reports an instruction fetch as a read."""

    context_class = _FetchlessContext


class _BoldContext(PtraceContext):
    def _access(self, space: Any, state: State, address: int) -> Access:
        access = super()._access(space, state, address)
        return Access.WRITE if access is Access.READ else access


@mutant(
    caught_by=("faults::a_read_is_a_read", "faults::a_page_without_any_access_faults", "FT02", "FT03"),
    origin="gvisor 03a28d158 guessed at: every fault a write, and every page copied for it",
)
class TakesEveryTouchForAWrite(PtracePlatform):
    """Reports every first access as a write."""

    context_class = _BoldContext


class _RoundingContext(PtraceContext):
    def _signal(self, space: PtraceAddressSpace, tracee: Tracee, state: State) -> Event | None:
        event = super()._signal(space, tracee, state)
        return replace(event, address=event.address & -PAGE) if isinstance(event, Fault) else event


@mutant(caught_by=("faults::the_offset_in_the_page_is_told",), origin="a fault handler that rounds to pages")
class RoundsFaultsToPages(PtracePlatform):
    """Rounds a fault's address down to its page."""

    context_class = _RoundingContext


class _DenyingContext(PtraceContext):
    def _signal(self, space: PtraceAddressSpace, tracee: Tracee, state: State) -> Event | None:
        event = super()._signal(space, tracee, state)
        return replace(event, code=SEGV_ACCERR) if isinstance(event, Fault) else event


@mutant(
    caught_by=("faults::a_touch_of_nothing_tells_where", "faults::a_jump_to_nothing_is_an_execution"),
    origin="a fault rebuilt from its address and access, which do not show what was mapped",
)
class TakesNothingForForbidden(PtracePlatform):
    """Reports an access to unmapped memory as a forbidden one."""

    context_class = _DenyingContext


class _ObstinateContext(PtraceContext):
    def forget_fault(self, space: Any, begin: int, end: int) -> bool:
        return False


@mutant(caught_by=("FT02",), origin="seed.Unmap without its loop over the contexts")
class NeverForgetsFaults(PtracePlatform):
    """Remembers a last fault when its range is unmapped."""

    context_class = _ObstinateContext


class _SeedsSpace(PtraceAddressSpace):
    _mapping = False

    def map_file(
        self, address: int, file: int, offset: int, length: int, access: Access, precommit: bool = False
    ) -> None:
        self._mapping = True
        try:
            super().map_file(address, file, offset, length, access, precommit)
        finally:
            self._mapping = False

    def _forget_faults(self, begin: int, end: int) -> None:
        if not self._mapping:
            super()._forget_faults(begin, end)


@mutant(caught_by=("faults::a_page_that_was_taken_away_is_read_again",), origin="seed.W26: MapFile is not seen")
class RemembersFaultsOverMapping(PtracePlatform):
    """Remembers a last fault when its range is mapped anew."""

    address_space_class = _SeedsSpace


class _ForgettingSpace(PtraceAddressSpace):
    def map_file(
        self, address: int, file: int, offset: int, length: int, access: Access, precommit: bool = False
    ) -> None:
        self._forget_faults(address, address + length)
        super().map_file(address, file, offset, length, access, precommit)


@mutant(
    caught_by=("faults::a_write_is_told_after_a_read_was_answered",),
    origin="seed.W26 over-corrected: a store to a page that is mapped for reading first never ends",
)
class ForgetsFaultsAtEveryMapping(PtracePlatform):
    """Forgets a last fault when its page is mapped for reading."""

    address_space_class = _ForgettingSpace


class _SweepingContext(PtraceContext):
    def forget_fault(self, space: Any, begin: int, end: int) -> bool:
        return super().forget_fault(space, 0, END_OF_WORDS)


@mutant(caught_by=("faults::a_mapping_beside_the_fault_changes_nothing",), origin="a registry of faults without ranges")
class ForgetsFaultsElsewhereToo(PtracePlatform):
    """Forgets the last faults of an address space wherever they were."""

    context_class = _SweepingContext


class _VagueContext(PtraceContext):
    def _access(self, space: Any, state: State, address: int) -> Access:
        if address != state.words[PC] and self._fault is not None and self._fault[:2] == (space, address):
            return Access.WRITE
        return super()._access(space, state, address)


@mutant(caught_by=("FT03",), origin="seed.Switch without its test of lastFaultIP")
class IgnoresTheInstruction(PtracePlatform):
    """Reports two instructions' faults on one address as a write."""

    context_class = _VagueContext


class _AddresslessContext(PtraceContext):
    def _access(self, space: Any, state: State, address: int) -> Access:
        last = self._fault
        if address != state.pc and last is not None and last[0] is space and last[2] == state.pc:
            return Access.WRITE
        return super()._access(space, state, address)


@mutant(caught_by=("faults::another_address_is_another_fault",), origin="seed.Switch without its test of lastFaultAddr")
class IgnoresTheAddress(PtracePlatform):
    """Reports one instruction's faults on two addresses as a write."""

    context_class = _AddresslessContext


class _SpacelessContext(PtraceContext):
    def _access(self, space: Any, state: State, address: int) -> Access:
        if address != state.pc and self._fault is not None and self._fault[1:] == (address, state.pc):
            return Access.WRITE
        return super()._access(space, state, address)


@mutant(
    caught_by=("faults::another_address_space_is_another_fault",), origin="seed.Switch without its test of lastFaultSP"
)
class IgnoresTheAddressSpace(PtracePlatform):
    """Reports equal faults of one context in two address spaces as a write."""

    context_class = _SpacelessContext


class _CommonContext(PtraceContext):
    """Keeps the last fault in the address space."""

    def _access(self, space: Any, state: State, address: int) -> Access:
        last = next((other._fault for other in space._faulted if getattr(other, "_fault", None)), None)
        if address != state.pc and last is not None and last[1:] == (address, state.pc):
            return Access.WRITE
        return super()._access(space, state, address)


@mutant(caught_by=("faults::another_context_is_another_fault",), origin="lastFault in the subprocess, not the context")
class SharesTheLastFault(PtracePlatform):
    """Reports equal faults of two contexts as a write."""

    context_class = _CommonContext


class _LingeringContext(PtraceContext):
    def switch(self, address_space: AddressSpace, state: State) -> Event:
        before = self._fault
        event = super().switch(address_space, state)
        if isinstance(event, Syscall):
            self._fault = before
        return event


@mutant(caught_by=("FT03",), origin="seed.Switch clearing its last fault at faults only")
class RemembersFaultsOverSystemCalls(PtracePlatform):
    """Remembers a last fault while the guest makes system calls."""

    context_class = _LingeringContext


class _ContextOfProcesses(PtraceContext):
    """Identifies an address space by its process, which is recycled."""

    _process = 0

    def _access(self, space: Any, state: State, address: int) -> Access:
        process, self._process = self._process, space.live_stub().pid
        if process == self._process and self._fault is not None and self._fault[1:] == (address, state.words[PC]):
            return Access.WRITE
        return super()._access(space, state, address)


@mutant(caught_by=("FT06",), origin="seed.Release: the registry of faults goes with the process, not with its tenant")
class RemembersFaultsOverRecycling(PtracePlatform):
    """Confuses faults in a recycled address space with those of its last tenant."""

    context_class = _ContextOfProcesses


class _UninterruptedContext(PtraceContext):
    def _at_once(self) -> Event:
        fault = self._fault
        event = super()._at_once()
        self._fault = fault
        return event


@mutant(
    caught_by=("faults::an_interrupt_between_makes_it_another_fault",),
    origin="seed.Switch: the last fault is forgotten where the switch ends, but not where it never began",
)
class RemembersFaultsOverInterrupts(PtracePlatform):
    """Remembers the last fault over a switch that an earlier interrupt prevented."""

    context_class = _UninterruptedContext


class _OverfullContext(PtraceContext):
    def _remember(self, space: Any, state: State, event: Event) -> None:
        super()._remember(space, state, event)
        if isinstance(event, Fault):
            self._fault = (space, event.address, state.pc)


@mutant(
    caught_by=("faults::a_bus_error_again_is_no_write",),
    origin="seed.Switch: SIGBUS remembered like SIGSEGV",
)
class RemembersBusErrors(PtracePlatform):
    """Reports a bus error that comes again as a write."""

    context_class = _OverfullContext
