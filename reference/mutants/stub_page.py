"""Mutants of the stub's page: its place, its surroundings, its code."""

from __future__ import annotations

import mmap
from ctypes import CDLL, c_int, c_long, c_size_t, c_void_p, memmove, string_at

from worldswitch.reference import stub_page
from worldswitch.reference._core import lib
from worldswitch.reference.mutants import mutant
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stub_page import FOUR_LEVELS_END, PAGE, StubPage
from worldswitch.reference.stubprocess import StubProcess
from worldswitch.reference.tracee import Tracee

MAP_FIXED = 0x10  # <asm-generic/mman-common.h>
PTRACE_POKEDATA = 5  # <linux/ptrace.h>

# ------------------------------------------------------------------------------------------------------------ its place


def _walk() -> StubPage:
    begin = FOUR_LEVELS_END - PAGE
    while lib.stub_install(begin, PAGE) != 0:
        begin -= PAGE
    return stub_page.page_at(begin, lib.task_size())


@mutant(caught_by=("AS15",), origin="gvisor bd7d1a738: stubInit goes from page to page until a hint is honoured")
class WalksDownPageByPage(PtracePlatform):
    """Tries one page after the other for the stub, from the top."""

    install_page = staticmethod(_walk)


class _ThoroughStub(StubProcess):
    def unmap_all(self, tracee: Tracee) -> None:
        for begin, end in ((0, self.page.begin), (self.page.end, self.page.task_size)):
            self._checked("munmap", tracee.call(lib.SYS_munmap, begin, end - begin))


@mutant(
    caught_by=("stub_page::a_stub_with_nothing_above_it_can_be_emptied",),
    origin="seed.unmap, without its look whether anything is above",
)
class UnmapsTheEmptyGap(PtracePlatform):
    """Unmaps what is above the stub's page, even if that is nothing."""

    stub_class = _ThoroughStub


class _ShortSightedStub(StubProcess):
    def unmap_all(self, tracee: Tracee) -> None:
        self._checked("munmap", tracee.call(lib.SYS_munmap, 0, self.page.begin))


@mutant(
    caught_by=("stub_page::a_stub_with_room_above_it_is_emptied_there_too",),
    origin="seed.unmap, with its second half left out",
)
class ForgetsWhatIsAbove(PtracePlatform):
    """Unmaps only what is below the stub's page."""

    stub_class = _ShortSightedStub


# ------------------------------------------------------------------------------------------------------------- its code


class _PatchedStub(StubProcess):
    def empty(self) -> None:
        super().empty()
        self.worker.request(PTRACE_POKEDATA, self.page.end - 8, 1)


@mutant(
    caught_by=("stub_page::the_stubs_code_is_the_same_in_all_and_stays_so",),
    origin="gvisor 108410638: what was copied was not the stub",
)
class PatchesRecycledStubs(PtracePlatform):
    """Changes a word of the stub's page when the stub is recycled."""

    stub_class = _PatchedStub


def _share() -> StubPage:
    """The page in shared, writable memory."""
    libc = CDLL(None)
    libc.mmap.restype, libc.mmap.argtypes = c_void_p, (*[c_size_t] * 2, *[c_int] * 3, c_long)
    stub = stub_page.install()
    code = string_at(stub.begin, PAGE)
    access = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    libc.mmap(stub.begin, PAGE, access, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | MAP_FIXED, -1, 0)
    memmove(stub.begin, code, PAGE)
    return stub


@mutant(
    caught_by=(
        "stub_page::a_change_to_one_stubs_code_is_none_to_the_others",
        "address_ranges::a_guest_cannot_change_the_stub",
    ),
    origin="mmap(2) MAP_SHARED where a fork is to have a copy",
)
class SharesItsPage(PtracePlatform):
    """Shares one writable page of code with all stubs."""

    install_page = staticmethod(_share)
