"""Mutants that give up frozen processes."""

from __future__ import annotations

import time

from worldswitch.harness.contract import AddressSpace, Cause, Death, Died, Event, State
from worldswitch.reference.context import PtraceContext
from worldswitch.reference.mutants import mutant
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stubprocess import StubProcess
from worldswitch.reference.tracee import Tracee
from worldswitch.reference.tracing_threads import thread_stat

#: How long, in seconds, a stub may be silent here.
PATIENCE = 0.25


class _DistrustfulStub(StubProcess):
    def _stands(self, tracee: Tracee) -> bool:
        """Or is frozen: D in a freezer of version 1, S in one of version 2."""
        stat = thread_stat(self.pid, tracee.tid)
        return stat is not None and stat[0] in "tDS"


@mutant(
    caught_by=("frozen::a_frozen_guest_goes_on_where_it_was",),
    origin="gvisor 4a8eae08b: a frozen process does not answer, and that was an error",
)
class TakesTheFrozenForTheRobbed(PtracePlatform):
    """Ends a frozen guest, as if another thread had taken its stop."""

    stub_class = _DistrustfulStub


class _HastyContext(PtraceContext):
    _last: float | None = None

    def switch(self, address_space: AddressSpace, state: State) -> Event:
        event = super().switch(address_space, state)
        now = time.monotonic()
        last, self._last = self._last, now
        if last is None or now - last < PATIENCE or self._holder is None:
            return event
        return Died(self._holder.stub.bury(Cause(Death.BROKEN, dump="it did not answer in time")))


@mutant(
    caught_by=("frozen::a_frozen_harness_goes_on_where_it_was",),
    origin="CRIU#1905: a clock that went on while everything else stood",
)
class TimesStubsByTheClock(PtracePlatform):
    """Ends a stub when too much time passes between two of a guest's events."""

    context_class = _HastyContext
