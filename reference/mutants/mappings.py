"""Mutants of mappings: files copied or not found, holes treated as ends, guests interrupted."""

from __future__ import annotations

import mmap
import weakref
from pathlib import Path

from worldswitch.harness.contract import Access, AddressSpace, Event, State
from worldswitch.reference._core import lib
from worldswitch.reference.address_space import END_OF_WORDS, PtraceAddressSpace
from worldswitch.reference.context import PtraceContext
from worldswitch.reference.mutants import mutant
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stub_page import PAGE

NO_FILE = END_OF_WORDS - 1


class _PrivateSpace(PtraceAddressSpace):
    def map_file(
        self, address: int, file: int, offset: int, length: int, access: Access, precommit: bool = False
    ) -> None:
        begin, end = self.checked_range(address, length)
        flags = mmap.MAP_PRIVATE | lib.MAP_FIXED | (lib.MAP_POPULATE if precommit else 0)
        self._call("mmap", lib.SYS_mmap, begin, end - begin, int(access), flags, file, offset)


@mutant(
    caught_by=(
        "address_spaces::guests_and_the_harness_share_what_is_mapped",
        "address_spaces::a_precommitted_mapping_is_the_file",
    ),
    origin="seed.MapFile with MAP_PRIVATE",
)
class MapsCopies(PtracePlatform):
    """Gives a guest a copy of what it writes to."""

    address_space_class = _PrivateSpace


class _SpaceOfOldFiles(PtraceAddressSpace):
    files: frozenset[str] = frozenset()  #: once a guest has run

    def map_file(
        self, address: int, file: int, offset: int, length: int, access: Access, precommit: bool = False
    ) -> None:
        super().map_file(address, file, offset, length, access, precommit)
        if self.files and str(file) not in self.files:
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | lib.MAP_FIXED
            self._call("mmap", lib.SYS_mmap, address, length, int(access), flags, NO_FILE, 0)


class _FileCountingContext(PtraceContext):
    def switch(self, address_space: AddressSpace, state: State) -> Event:
        if isinstance(address_space, _SpaceOfOldFiles) and not address_space.files:
            address_space.files = frozenset(file.name for file in Path("/proc/self/fd").iterdir())
        return super().switch(address_space, state)


@mutant(
    caught_by=("address_spaces::a_file_opened_after_the_stub_began_can_be_mapped",),
    origin="seed.createStub without CLONE_FILES: a stub has the files that were open at its fork",
)
class KnowsOnlyOldFiles(PtracePlatform):
    """Maps zeroes for a file that was opened after the first switch."""

    address_space_class = _SpaceOfOldFiles
    context_class = _FileCountingContext


class _SpaceOfWholePages(PtraceAddressSpace):
    def unmap(self, address: int, length: int) -> None:
        if length >= PAGE:
            super().unmap(address, length - length % PAGE)


@mutant(
    caught_by=("address_ranges::a_length_is_rounded_up_to_pages",),
    origin="kernel.M1, turned round: a length is rounded, but down",
)
class UnmapsWholePagesOnly(PtracePlatform):
    """Does not unmap a page that is only partly in the range."""

    address_space_class = _SpaceOfWholePages


class _SpaceThatShiesAtHoles(PtraceAddressSpace):
    _begins: frozenset[int] = frozenset()

    def map_file(
        self, address: int, file: int, offset: int, length: int, access: Access, precommit: bool = False
    ) -> None:
        super().map_file(address, file, offset, length, access, precommit)
        self._begins |= {address}

    def unmap(self, address: int, length: int) -> None:
        if address in self._begins:
            super().unmap(address, length)


@mutant(
    caught_by=("address_ranges::unmapping_nothing_is_no_error",),
    origin="kernel.M1: a hole is no error, and was taken for the end",
)
class StopsAtTheFirstHole(PtracePlatform):
    """Unmaps nothing of a range that begins with a hole."""

    address_space_class = _SpaceThatShiesAtHoles


class _KnownContext(PtraceContext):
    def switch(self, address_space: AddressSpace, state: State) -> Event:
        _contexts.add(self)
        return super().switch(address_space, state)


class _SpaceThatStopsGuests(PtraceAddressSpace):
    def map_file(
        self, address: int, file: int, offset: int, length: int, access: Access, precommit: bool = False
    ) -> None:
        for context in list(_contexts):
            if context._running is not None:
                context.interrupt()
        super().map_file(address, file, offset, length, access, precommit)


_contexts: weakref.WeakSet[PtraceContext] = weakref.WeakSet()


@mutant(
    caught_by=("address_spaces::changes_elsewhere_do_not_disturb_a_running_guest",),
    origin="a stub that is stopped as a whole to be injected into",
)
class InterruptsGuestsToMap(PtracePlatform):
    """Ends all running switches when a file is mapped."""

    address_space_class = _SpaceThatStopsGuests
    context_class = _KnownContext
