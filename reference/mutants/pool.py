"""Mutants of the pool: stubs handed out dead, twice, in use or not empty, or never ended."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from worldswitch.harness.contract import Options, State
from worldswitch.reference._core import ffi
from worldswitch.reference.address_space import PtraceAddressSpace
from worldswitch.reference.context import PtraceContext
from worldswitch.reference.mutants import mutant
from worldswitch.reference.pool import Pool
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stubprocess import StubProcess
from worldswitch.reference.tracee import Tracee


class _PoolOfCorpses(Pool):
    def take(self, answers: Callable[[StubProcess], bool]) -> StubProcess | None:
        return self.stubs.pop() if self.stubs else None


@mutant(caught_by=("PO06",), origin="seed.W15: no check of death in Release or newSubprocess")
class HandsOutCorpses(PtracePlatform):
    """Hands out a pooled stub without checking that it lives."""

    pool_class = _PoolOfCorpses


class _ReversedPool(Pool):
    def take(self, answers: Callable[[StubProcess], bool]) -> StubProcess | None:
        self.stubs.reverse()
        stub = super().take(answers)
        self.stubs.reverse()
        return stub


@mutant(caught_by=("PO01",), origin="globalPool.available taken from the wrong end")
class TakesTheOldest(PtracePlatform):
    """Hands out the stub that was released first, whose caches are coldest."""

    pool_class = _ReversedPool


class _TidyLookingStub(StubProcess):
    def empty(self) -> None:
        pass


@mutant(
    caught_by=("PO02", "memory_limits::a_space_in_too_many_pieces_is_given_back_whole"),
    origin="seed.Release without its unmap",
)
class RecyclesWithMappings(PtracePlatform):
    """Pools a stub with its last guest's memory in place."""

    stub_class = _TidyLookingStub


class _LastingLease(PtraceAddressSpace):
    def _end_lease(self) -> StubProcess:
        stub = self.live_stub()
        super()._end_lease()
        self.stub_process = stub
        return stub


@mutant(caught_by=("PO03", "PO05"), origin="seed.W15: no owner check")
class HonoursEndedLeases(PtracePlatform):
    """Does not take a released address space from its owner."""

    address_space_class = _LastingLease


class _RuthlessLease(PtraceAddressSpace):
    def _end_lease(self) -> StubProcess:
        stub, self.stub_process = self.live_stub(), None
        return stub


@mutant(caught_by=("PO04",), origin="gvisor f01bf248c: pool reuse race")
class ReleasesUnderRunningGuests(PtracePlatform):
    """Empties and pools a stub while a guest runs in it."""

    address_space_class = _RuthlessLease


class _LateLease(PtraceAddressSpace):
    def release(self, *, wait: bool = True) -> None:
        if wait:
            super().release()
        else:
            cast(PtracePlatform, self.platform).pool.add(self._end_lease())


@mutant(
    caught_by=("pool::what_is_released_in_the_background_is_nobodys_until_it_is_empty",),
    origin="seed.Release, with its goroutine begun by the push onto the pool",
)
class PoolsBeforeItEmpties(PtracePlatform):
    """Pools a stub before it is emptied."""

    address_space_class = _LateLease


@mutant(
    caught_by=("pool::what_is_released_in_the_background_is_used_again",),
    origin="seed.W15: a release in the background that never happens",
)
class NeverTakesBackLater(PtracePlatform):
    """Loses the stubs that are released in the background."""

    def take_back_later(self, stub: StubProcess) -> None:
        """Do nothing."""


class _BoundStub(StubProcess):
    def empty(self) -> None:
        super().empty()
        for tid in self.tids():
            os.sched_setaffinity(tid, {min(os.sched_getaffinity(0))})


@mutant(
    caught_by=("hygiene::a_recycled_stub_is_the_process_it_was",),
    origin="seed.W24: bind() is never undone",
)
class RecyclesBoundStubs(PtracePlatform):
    """Hands out stubs that may run on one CPU only."""

    stub_class = _BoundStub


class _LastingState(PtraceContext):
    def _take(self, tracee: Tracee, state: State) -> Any:
        wanted = super()._take(tracee, state)
        return wanted if state.xstate_version else ffi.NULL


@mutant(
    caught_by=("hygiene::a_guest_in_a_recycled_stub_begins_as_in_a_new_one",),
    origin="seed.I14: a new state taken for one that the thread has anyway",
)
class SkipsFirstStates(PtracePlatform):
    """Does not load the extended state of a guest whose caller never wrote one."""

    context_class = _LastingState


@mutant(caught_by=("PO08",), origin="seed.W15, gvisor#12209: nothing is ever killed")
class KeepsEveryStub(PtracePlatform):
    """Has no bound on its pool."""

    def __init__(self, options: Options | None = None) -> None:
        super().__init__(replace(options or Options(), pool_limit=1 << 30))
