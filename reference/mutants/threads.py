"""Mutants of tracing threads: that end, vanish, fork, or pass a context on."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from worldswitch.harness.contract import AddressSpace, Event, HostError, State
from worldswitch.reference._core import ffi, lib
from worldswitch.reference.context import PtraceContext
from worldswitch.reference.creator import Creator
from worldswitch.reference.filter import _any_of, _from_the_stub
from worldswitch.reference.mutants import mutant
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stub_creation import StubCreation
from worldswitch.reference.stubprocess import StubProcess, Use
from worldswitch.reference.tracee import Tracee

Result = TypeVar("Result")


class _StrandedTracee(Tracee):
    def attach(self, options: int) -> None:
        """Attach, but without the entry in the list of tracees to park."""
        self.request(lib.PTRACE_SEIZE, 0, options)
        self.handle.owner, self.handle.thread = threading.get_native_id(), threading.get_ident()
        self.handle.state = lib.TRACEE_OWNED
        self.request(lib.PTRACE_INTERRUPT)
        self.wait()
        self.block_signals(0)

    def park(self) -> None:
        """It stays attached: what is not on the list is not parked."""


class _StubOfStrandedTracees(StubProcess):
    tracee_class = _StrandedTracee


@mutant(
    caught_by=(
        "TT01",
        "TT06",
        "TT09",
        "threads::a_resident_context_moves_on_when_its_thread_ends",
        "chaos::tracing_threads_come_and_go",
    ),
    origin="seed.W2, gvisor#1333: it claims that OS threads never exit",
)
class NeverParks(PtracePlatform):
    """Lets a tracing thread end with its tracees attached, so that PTRACE_O_EXITKILL kills the stub."""

    stub_class = _StubOfStrandedTracees


class _AdoptingStub(StubProcess):
    def acquire(self, use: Use, spawn: Callable[[], None], options: int, xstate_length: int) -> Tracee:
        """A thread whose tracer is gone, if there is one, without attaching."""
        for tracee in self._tracees[use]:
            if tracee in self._owners and self._owners[tracee].has_vanished(thoroughly=True):
                lib.tracee_own(tracee.handle)
                return tracee
        return super().acquire(use, spawn, options, xstate_length)


class _FrankContext(PtraceContext):
    def _refused(self, tracee: Tracee, error: int) -> Exception:
        return HostError(error, "loading the guest's registers")


@mutant(caught_by=("TT01", "TT02"), origin="seed.W1: lookupOrCreate adopts a thread without attaching it")
class AdoptsTheAbandoned(PtracePlatform):
    """Takes over a vanished tracer's thread without attaching, and reports the ESRCH."""

    stub_class = _AdoptingStub
    context_class = _FrankContext


class _LaxCreation(StubCreation):
    def filter_program(self, key: int) -> bytes:
        """With that rule cut out; a parked thread's pause then needs another."""
        rule, pause = (
            b"".join(struct.pack("=HBBI", *one) for one in instructions)
            for instructions in (_from_the_stub(self.page), _any_of([lib.SYS_pause]))
        )
        return super().filter_program(key).replace(rule, pause)


@mutant(caught_by=("TT02",), origin="kernel.D5: without EXITKILL the tracee is detached and runs")
class LetsTheLooseCallOut(PtracePlatform):
    """Has no rule in the stub's filter that restricts system calls to the stub's instructions."""

    stub_creation_class = _LaxCreation


class _HandsOnCreator(Creator):
    def call(self, function: Callable[[], Result]) -> Result:
        """Run it on the calling thread."""
        lib.rseq_unregister()
        return function()


@mutant(
    caught_by=("TT05", "filters::a_thread_that_may_not_fork_still_gets_address_spaces"),
    origin="kernel.D8: PDEATHSIG is about the thread that forked, not its process",
)
class MakesStubsOnTheSpot(PtracePlatform):
    """Forks and traces a stub's leader on the thread that asks for the stub."""

    creator_class = _HandsOnCreator


class _TrustingStub(StubProcess):
    def look_for_stolen_stops(self, waits: Callable[[int], int]) -> None:
        pass


@mutant(caught_by=("TT07",), origin="seed.W22: the first thread that waits gets the outcome")
class WaitsForStolenStops(PtracePlatform):
    """Waits for ever for a stop that another thread has taken."""

    stub_class = _TrustingStub


class _CarelessContext(PtraceContext):
    def _pull(self) -> None:
        pass


@mutant(caught_by=("TT04",), origin="an extended state that only its tracer could fetch, not fetched")
class MovesResidentsWithoutTheirState(PtracePlatform):
    """Switches a resident context on any thread, without its extended state."""

    context_class = _CarelessContext


class _ForgetfulContext(PtraceContext):
    def _take(self, tracee: Tracee, state: State) -> Any:
        if state.xstate_version == self._loaded_version and self._holder is not None:
            self._holder = tracee
            return ffi.NULL
        return super()._take(tracee, state)


@mutant(caught_by=("TT15",), origin="a cache of what a thread holds that is not compared with the thread")
class LeavesVectorsBehind(PtracePlatform):
    """Does not load a context's extended state when it comes to another thread."""

    context_class = _ForgetfulContext


@mutant(
    caught_by=("TT10", "interrupts::an_interrupt_from_a_forked_child_is_refused"),
    origin="fork(2): the child has the objects and none of the tracees",
)
class IgnoresForks(PtracePlatform):
    """Lets a forked child use its parent's platform."""

    def check_ours(self) -> None:
        """Accept any process."""


class _TurnTakingContext(PtraceContext):
    turn = threading.Lock()

    def switch(self, address_space: AddressSpace, state: State) -> Event:
        with self.turn:
            return super().switch(address_space, state)


@mutant(
    caught_by=(
        "TT14",
        "threads::a_context_runs_on_one_thread_at_a_time",
    ),
    origin="gvisor da6ddd1df: a lock that all tracing threads of a subprocess wait for",
)
class LetsOneSwitchAtATime(PtracePlatform):
    """Runs no guest while another one runs."""

    context_class = _TurnTakingContext


class _NumberedStub(StubProcess):
    def acquire(self, use: Use, spawn: Callable[[], None], options: int, xstate_length: int) -> Tracee:
        """The thread that was acquired under the caller's id, if there is one."""
        for tracee in self._tracees[use]:
            if tracee.handle.owner == threading.get_native_id():
                lib.tracee_own(tracee.handle)
                return tracee
        return super().acquire(use, spawn, options, xstate_length)


@mutant(caught_by=("TT03",), origin="seed.W19: a map from thread ids, which the kernel gives out again")
class KnowsThreadsByTheirIds(PtracePlatform):
    """Identifies tracing threads by their ids, which recycle."""

    stub_class = _NumberedStub
