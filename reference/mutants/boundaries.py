"""Mutants that are one off at a boundary, or cut a number to a width."""

from __future__ import annotations

import signal
from typing import Any

from worldswitch.harness.contract import Access, BadAddress, Event, Signal, State
from worldswitch.reference.address_space import END_OF_WORDS, PtraceAddressSpace
from worldswitch.reference.context import PtraceContext
from worldswitch.reference.mutants import mutant
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stops import SI_KERNEL
from worldswitch.reference.stub_page import PAGE
from worldswitch.reference.tracee import Tracee

HALF = 0xFFFF_FFFF  # 32 bits
FPE_INTDIV, FPE_FLTINV = 1, 7  # asm-generic/siginfo.h


class _NarrowSpace(PtraceAddressSpace):
    def map_file(
        self, address: int, file: int, offset: int, length: int, access: Access, precommit: bool = False
    ) -> None:
        super().map_file(address, file, offset & HALF, length, access, precommit)


@mutant(
    caught_by=("boundaries::a_mapping_begins_at_its_offset_however_large",),
    origin="an offset kept in an int",
)
class CutsOffsets(PtracePlatform):
    """Maps a file from the lower 32 bits of the offset."""

    address_space_class = _NarrowSpace


class _KernelsSpace(PtraceAddressSpace):
    def _check_file(self, file: int, offset: int) -> None:
        """Leave it to the kernel, which looks at an int and at 64 bits."""


@mutant(
    caught_by=("boundaries::offsets_and_descriptors_are_not_cut",),
    origin="seed.MapFile: arguments as the kernel's registers hold them",
)
class CutsDescriptors(PtracePlatform):
    """Maps the file whose descriptor is the lower half of the one that is given."""

    address_space_class = _KernelsSpace


class _ShySpace(PtraceAddressSpace):
    def checked_range(self, address: int, length: int) -> tuple[int, int]:
        """Refuse the last page too."""
        begin, end = super().checked_range(address, length)
        if end == self.platform.address_range[1]:
            raise BadAddress(f"{begin:#x}-{end:#x} touches the end")
        return begin, end


@mutant(caught_by=("AS17",), origin="stub_page.overlaps with <= for <")
class RefusesTheLastPage(PtracePlatform):
    """Refuses a range that ends where the guest's range ends."""

    address_space_class = _ShySpace


class _GenerousSpace(PtraceAddressSpace):
    def checked_range(self, address: int, length: int) -> tuple[int, int]:
        """Round a length that is whole pages up to the next one."""
        begin, end = super().checked_range(address, length)
        whole = length % PAGE == 0 and end < self.platform.address_range[1]
        return begin, end + PAGE if whole else end


@mutant(caught_by=("AS17",), origin="(length + PAGE) / PAGE pages, for (length + PAGE - 1) / PAGE")
class RoundsWholePagesUp(PtracePlatform):
    """Maps and unmaps a page more if the length is whole pages."""

    address_space_class = _GenerousSpace


class _LateContext(PtraceContext):
    def forget_fault(self, space: Any, begin: int, end: int) -> bool:
        fault = self._fault
        if fault is not None and fault[1] == begin:
            return False
        return super().forget_fault(space, begin, end)


@mutant(
    caught_by=("boundaries::a_change_of_the_faulting_page_makes_the_next_fault_a_read",),
    origin="begin < address for begin <= address",
)
class RemembersTheFirstByte(PtracePlatform):
    """Remembers a fault at the first byte of a range that is unmapped."""

    context_class = _LateContext


class _WideContext(PtraceContext):
    def forget_fault(self, space: Any, begin: int, end: int) -> bool:
        fault = self._fault
        reaches = fault is not None and fault[1] == end
        return super().forget_fault(space, begin, min(end + reaches, END_OF_WORDS))


@mutant(
    caught_by=("boundaries::a_change_beside_the_faulting_page_leaves_the_next_fault_a_write",),
    origin="address <= end for address < end",
)
class ForgetsTheByteBehind(PtracePlatform):
    """Forgets a fault at the first byte behind a range that is unmapped."""

    context_class = _WideContext


class _PickySpace(PtraceAddressSpace):
    def map_file(
        self, address: int, file: int, offset: int, length: int, access: Access, precommit: bool = False
    ) -> None:
        if access & Access.EXECUTE:
            self._forget_faults(address, address + length)
        super().map_file(address, file, offset, length, access, precommit)


@mutant(
    caught_by=("boundaries::a_readable_mapping_of_any_kind_leaves_the_next_fault_a_write",),
    origin="access == READ for access & READ",
)
class ForgetsFaultsUnderCode(PtracePlatform):
    """Forgets the last fault where readable code is mapped."""

    address_space_class = _PickySpace


class _NarrowContext(PtraceContext):
    def _signal(self, space: PtraceAddressSpace, tracee: Tracee, state: State) -> Event | None:
        event = super()._signal(space, tracee, state)
        return Signal(event.signo, event.code, event.address & HALF) if isinstance(event, Signal) else event


@mutant(
    caught_by=("traps::a_traps_address_is_told_to_the_last_bit",),
    origin="si_addr kept in 32 bits",
)
class CutsAddressesOfTraps(PtracePlatform):
    """Reports the lower half of a trap's address."""

    context_class = _NarrowContext


class _GeneralContext(PtraceContext):
    def _signal(self, space: PtraceAddressSpace, tracee: Tracee, state: State) -> Event | None:
        event = super()._signal(space, tracee, state)
        if isinstance(event, Signal) and event.signo == signal.SIGFPE and event.code > FPE_INTDIV:
            return Signal(event.signo, FPE_FLTINV, event.address)
        return event


@mutant(
    caught_by=("traps::a_floating_point_exception_has_its_code",),
    origin="one code for all exceptions of the floating-point unit",
)
class TakesFloatingPointExceptionsForOne(PtracePlatform):
    """Reports every floating-point exception as an invalid operation."""

    context_class = _GeneralContext


class _StacklessContext(PtraceContext):
    def _signal(self, space: PtraceAddressSpace, tracee: Tracee, state: State) -> Event | None:
        event = super()._signal(space, tracee, state)
        is_bus_error = isinstance(event, Signal) and event.signo == signal.SIGBUS
        return Signal(signal.SIGSEGV, SI_KERNEL) if is_bus_error else event


@mutant(
    caught_by=("traps::a_stack_that_is_no_address_is_a_bus_error_without_one",),
    origin="SI_KERNEL taken for a general protection fault whatever the signal",
)
class TakesStackFaultsForProtectionFaults(PtracePlatform):
    """Reports a stack fault as a general protection fault."""

    context_class = _StacklessContext
