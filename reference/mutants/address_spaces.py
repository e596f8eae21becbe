"""Mutants of address spaces: ranges that overflow, mappings that differ from the request."""

from __future__ import annotations

import signal
from dataclasses import replace

from worldswitch.harness.contract import Access, BadAddress
from worldswitch.reference._core import lib
from worldswitch.reference.address_space import END_OF_WORDS, PtraceAddressSpace
from worldswitch.reference.birth_plan import StubPlan
from worldswitch.reference.creator import Creator
from worldswitch.reference.mutants import mutant
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stub_creation import StubCreation
from worldswitch.reference.stub_page import PAGE
from worldswitch.reference.stubprocess import StubProcess
from worldswitch.reference.tracee import Tracee

WORD = END_OF_WORDS - 1

# ------------------------------------------------------------------------------------------------------------- overflow


class _CuttingSpace(PtraceAddressSpace):
    def unmap(self, address: int, length: int) -> None:
        self._call("munmap", lib.SYS_munmap, address & WORD, length & WORD)


@mutant(caught_by=("AS01",), origin="Python's integers do not wrap, so seed.Unmap's test for overflow never fires")
class CutsRangesToWords(PtracePlatform):
    """Cuts the numbers of a range to 64 bits and unmaps the result."""

    address_space_class = _CuttingSpace


class _WrappingSpace(PtraceAddressSpace):
    def checked_range(self, address: int, length: int) -> tuple[int, int]:
        end = (address + length) & WORD
        if end > self.platform.address_range[1]:
            raise BadAddress(f"the range ends at {end:#x}")
        return address, end


@mutant(caught_by=("AS01", "AS02"), origin="seed.Unmap without its test for overflow")
class LooksOnlyAtTheEnd(PtracePlatform):
    """Compares the end of a range, wrapped, with the end of the guest's addresses, and nothing else."""

    address_space_class = _WrappingSpace


class _LenientSpace(PtraceAddressSpace):
    def checked_range(self, address: int, length: int) -> tuple[int, int]:
        end = address + length
        if address < 0 or length <= 0 or address % PAGE or end > END_OF_WORDS:
            raise BadAddress(f"address {address:#x} + length {length:#x} overflows")
        return address, end


@mutant(caught_by=("AS02",), origin="hostarch.Addr.AddLength: an end of 2^64 is an overflow too")
class AcceptsTheEndOfAddresses(PtracePlatform):
    """Accepts a range that ends at 2^64, and leaves it to the kernel."""

    address_space_class = _LenientSpace


# --------------------------------------------------------------------------------------------------------- other ranges


class _TrustingSpace(PtraceAddressSpace):
    def checked_range(self, address: int, length: int) -> tuple[int, int]:
        return (address, address) if length == 0 else super().checked_range(address, length)


@mutant(caught_by=("AS03",), origin="seed.W20: what the kernel refuses is found out by asking it")
class LeavesEmptyRangesToTheKernel(PtracePlatform):
    """Injects a system call for a range of no length."""

    address_space_class = _TrustingSpace


class _OpenSpace(PtraceAddressSpace):
    def checked_range(self, address: int, length: int) -> tuple[int, int]:
        if address + length > self.platform.page.task_size:
            return super().checked_range(address, length)
        return address, address + length


@mutant(
    caught_by=(
        "AS05",
        "address_ranges::ranges_beyond_the_guests_are_refused",
    ),
    origin="the stub is protected by nothing but seed.MaxUserAddress",
)
class OffersTheStubsPage(PtracePlatform):
    """Maps and unmaps over the stub's own code."""

    address_space_class = _OpenSpace


# ------------------------------------------------------------------------------------------------------- what is mapped


class _CrowdedStub(StubProcess):
    def unmap_all(self, tracee: Tracee) -> None:
        pass


@mutant(
    caught_by=("AS06", "address_spaces::the_kernels_own_pages_are_gone_too"),
    origin="seed.newSubprocess without its call of unmap",
)
class LeavesTheHarnessMapped(PtracePlatform):
    """Leaves the mappings of the forking process in a new address space."""

    stub_class = _CrowdedStub


class _HintingSpace(PtraceAddressSpace):
    def map_file(
        self, address: int, file: int, offset: int, length: int, access: Access, precommit: bool = False
    ) -> None:
        begin, end = self.checked_range(address, length)
        self._call("mmap", lib.SYS_mmap, begin, end - begin, int(access), lib.MAP_SHARED, file, offset)


@mutant(
    caught_by=(
        "AS08",
        "address_ranges::the_stub_lies_outside_the_guests_range",
        "address_spaces::replacing_under_a_running_guest_is_seen_by_it",
    ),
    origin="seed.MapFile without MAP_FIXED",
)
class TakesAddressesForHints(PtracePlatform):
    """Maps at another address if the requested one is in use."""

    address_space_class = _HintingSpace


class _LazySpace(PtraceAddressSpace):
    def map_file(
        self, address: int, file: int, offset: int, length: int, access: Access, precommit: bool = False
    ) -> None:
        super().map_file(address, file, offset, length, access)


@mutant(
    caught_by=(
        "AS09",
        "memory_limits::precommitting_is_complete_in_a_storm_of_signals",
        "memory_limits::precommitting_more_than_there_is_is_not_reported_as_done",
    ),
    origin="seed.MapFile without MAP_POPULATE",
)
class NeverPrecommits(PtracePlatform):
    """Leaves all pages to be faulted in."""

    address_space_class = _LazySpace


class _OffsetlessSpace(PtraceAddressSpace):
    def map_file(
        self, address: int, file: int, offset: int, length: int, access: Access, precommit: bool = False
    ) -> None:
        super().map_file(address, file, 0, length, access, precommit)


@mutant(caught_by=("AS07",), origin="seed.MapFile with the range's start left out")
class MapsFilesFromTheirBeginning(PtracePlatform):
    """Ignores the offset and maps the beginning of a file."""

    address_space_class = _OffsetlessSpace


class _CopyingCreation(StubCreation):
    def make_plan(self, go: int) -> StubPlan:
        """Clone nothing along."""
        return replace(super().make_plan(go), clone_flags=0)


@mutant(
    caught_by=("address_spaces::a_stub_keeps_no_file_open",),
    origin="pitfall 23: without CLONE_FILES a stub has what was open at its fork, and nothing that came later",
)
class CopiesDescriptors(PtracePlatform):
    """Gives each stub a table of open files of its own."""

    stub_creation_class = _CopyingCreation


class _BoldSpace(PtraceAddressSpace):
    def map_file(
        self, address: int, file: int, offset: int, length: int, access: Access, precommit: bool = False
    ) -> None:
        begin, end = self.checked_range(address, length)
        flags = lib.MAP_SHARED | lib.MAP_FIXED
        self._call("mmap", lib.SYS_mmap, begin, end - begin, int(access), flags, file, offset)


@mutant(caught_by=("AS10",), origin="gVisor before it read vm.mmap_min_addr: EPERM by surprise")
class LeavesLowAddressesToTheKernel(PtracePlatform):
    """Maps, or tries to map, below the addresses it offers."""

    address_space_class = _BoldSpace


class _PoliteSpace(PtraceAddressSpace):
    def unmap(self, address: int, length: int) -> None:
        if not self.live_stub().is_inhabited():
            super().unmap(address, length)


@mutant(caught_by=("AS12",), origin="an unmap that waits for guests to come back, which one that computes never does")
class UnmapsOnlyUnderIdleGuests(PtracePlatform):
    """Unmaps nothing while a guest runs."""

    address_space_class = _PoliteSpace


class _RegisteredCreator(Creator):
    def prepare(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


@mutant(caught_by=("AS13",), origin="syzkaller#3869: a stub that inherits glibc's rseq area is killed")
class KeepsTheRseqArea(PtracePlatform):
    """Forks stubs from a thread whose restartable-sequence area the kernel still knows."""

    creator_class = _RegisteredCreator
