"""Mutants of the pool: stubs handed out dead, twice, in use or with something in them, or never given up."""

from __future__ import annotations

from dataclasses import replace

from worldswitch.harness.contract import Options
from worldswitch.reference.address_space import PtraceAddressSpace
from worldswitch.reference.mutants import mutant
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stubprocess import StubProcess


@mutant(caught_by=("PO06",), origin="seed.W15: no check of death in Release or newSubprocess")
class HandsOutCorpses(PtracePlatform):
    """Hands a pooled stub out without asking whether it lives."""

    def _from_pool(self) -> StubProcess | None:
        return self._pool.pop() if self._pool else None


@mutant(caught_by=("PO01",), origin="globalPool.available taken from the wrong end")
class TakesTheOldest(PtracePlatform):
    """Hands out the stub that was released first, whose caches are coldest."""

    def _from_pool(self) -> StubProcess | None:
        self._pool.reverse()
        stub = super()._from_pool()
        self._pool.reverse()
        return stub


class _TidyLookingStub(StubProcess):
    def empty(self) -> None:
        pass


@mutant(caught_by=("PO02",), origin="seed.Release without its unmap")
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


@mutant(caught_by=("PO08",), origin="seed.W15, gvisor#12209: nothing is ever killed")
class KeepsEveryStub(PtracePlatform):
    """Has no bound on its pool."""

    def __init__(self, options: Options | None = None) -> None:
        super().__init__(replace(options or Options(), pool_limit=1 << 30))
