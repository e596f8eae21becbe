"""Mutants with a race that fails in one order only, between two lines of Python."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from worldswitch.harness.contract import AddressSpace, Busy, Event, Released, State, WrongThread
from worldswitch.reference._core import lib
from worldswitch.reference.address_space import PtraceAddressSpace
from worldswitch.reference.context import PtraceContext
from worldswitch.reference.creator import Creator
from worldswitch.reference.mutants import mutant
from worldswitch.reference.pool import Pool
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stubprocess import StubProcess
from worldswitch.reference.tracee import Tracee
from worldswitch.reference.tracing_threads import thread_stat


class _HastyContext(PtraceContext):
    def interrupt(self) -> None:
        self.platform.check_ours()
        tracee = self._running
        self._pending = True
        if tracee is not None:
            self.nudge(tracee)


@mutant(
    caught_by=("meetings::a_switch_that_begins_at_any_step_of_an_interrupt_is_ended",),
    origin="gvisor interrupt.Forwarder: Enable and NotifyInterrupt agree on an order, under a lock",
)
class LooksForTheGuestTooSoon(PtracePlatform):
    """Looks for a running guest before it sets the interrupt flag: one that starts in between is not interrupted."""

    context_class = _HastyContext


class _BusyContext(PtraceContext):
    _at_a_stop = False

    def _event_of(self, space: PtraceAddressSpace, tracee: Tracee, state: State, result: int) -> Event | None:
        self._at_a_stop = True
        try:
            return super()._event_of(space, tracee, state, result)
        finally:
            self._at_a_stop = False

    def nudge(self, tracee: Tracee) -> None:
        if not self._at_a_stop:
            super().nudge(tracee)


@mutant(
    caught_by=("meetings::an_interrupt_at_any_step_of_a_switch_ends_it",),
    origin="a nudge that comes between the wait and the next request, taken for needless",
)
class SavesNudgesAtStops(PtracePlatform):
    """Does not nudge a guest in a stop, which may be about to be resumed."""

    context_class = _BusyContext


class _TrustingAddressSpace(PtraceAddressSpace):
    def is_leased(self, stub: StubProcess) -> bool:
        return True

    def _end_lease(self) -> StubProcess:
        self.platform.check_open()
        stub = self.stub_process
        if stub is None:
            raise Released("the address space was released before")
        inhabited = stub.is_inhabited()
        if inhabited:
            raise Busy("a guest runs in the address space")
        stub.admit_none()
        self.stub_process = None
        return stub


@mutant(
    caught_by=(
        "meetings::a_switch_that_begins_at_any_step_of_a_release",
        "meetings::a_release_at_any_step_of_a_switch",
    ),
    origin="gvisor f01bf248c: an address space is given back while a context is on its way into it",
)
class ReleasesWhoIsOnTheWay(PtracePlatform):
    """Looks for guests before it ends the lease, and a switch does not check the lease again."""

    address_space_class = _TrustingAddressSpace


class _RashAddressSpace(PtraceAddressSpace):
    def _settled_stub(self) -> StubProcess | None:
        return self.stub_process


@mutant(
    caught_by=("meetings::a_refused_release_is_nothing_to_anybody",),
    origin="gvisor f01bf248c: a lease that is taken away, and given back when guests are found",
)
class RefusesWhileItDecides(PtracePlatform):
    """Reports an address space as released while its release may still be refused."""

    address_space_class = _RashAddressSpace


class _OpenPool(Pool):
    def take(self, answers: Callable[[StubProcess], bool]) -> StubProcess | None:
        """The stub released last, which another thread may take too."""
        if not self.stubs:
            return None
        stub = self.stubs[-1]
        self.stubs = [other for other in self.stubs if other is not stub]
        stub.look_for_vanished(thoroughly=True)
        return stub if answers(stub) else self.take(answers)


@mutant(
    caught_by=("meetings::two_threads_that_ask_at_once_get_two_address_spaces",),
    origin="seed.newSubprocess: what the lock around the pool is for",
)
class LendsOneStubTwice(PtracePlatform):
    """Takes a stub from the pool in two steps, without a lock."""

    pool_class = _OpenPool


class _SharedTracee(Tracee):
    def claim(self) -> bool:
        parked = bool(self.handle.state == lib.TRACEE_PARKED)
        if parked:
            self.handle.state = lib.TRACEE_CLAIMED
        return parked


class _OpenStub(StubProcess):
    tracee_class = _SharedTracee

    def _claim_parked(self, use: object) -> Tracee | None:
        return next((tracee for tracee in self._tracees[use] if tracee.claim()), None)  # type: ignore[index]


@mutant(
    caught_by=("meetings::two_threads_that_come_at_once_trace_two_threads",),
    origin="seed.lookupOrCreate: what the lock around the pool of threads is for",
)
class ClaimsInTwoSteps(PtracePlatform):
    """Checks that a stub's thread is parked and then claims it, without a lock."""

    stub_class = _OpenStub


class _AnxiousStub(StubProcess):
    def _vanished(self, *, thoroughly: bool) -> bool:
        owners = list(self._owners.items())
        unseen = any(
            self._is_owned_by(tracee, one) and thread_stat(os.getpid(), one.tid) is None for tracee, one in owners
        )
        return super()._vanished(thoroughly=thoroughly) or (thoroughly and unseen)


@mutant(caught_by=("CH05",), origin="an error of open(2) on /proc, taken for the answer")
class TakesSilenceForAbsence(PtracePlatform):
    """Concludes that a tracing thread has vanished if /proc cannot be read for lack of a file descriptor."""

    stub_class = _AnxiousStub


class _TimidCreator(Creator):
    def post(self, function: Callable[[], Any]) -> Future[Any]:
        if self._refusal is not None or self._has_ended:
            raise Released(self._refusal or "the platform is closed")
        future: Future[Any] = Future()
        self._requests.put((function, future))
        return future


@mutant(
    caught_by=("encounters::what_is_asked_before_the_platform_closes_is_answered",),
    origin="a flag is read before the request is queued, and the queue is not emptied afterwards",
)
class PostsIntoTheVoid(PtracePlatform):
    """Looks whether the platform's thread has ended before it queues a request, and not after."""

    creator_class = _TimidCreator


@mutant(caught_by=("CH10",), origin="seed.I11: an end that may come from any thread, and twice")
class RefusesASecondClose(PtracePlatform):
    """Raises `Released` from `close` after the platform was closed."""

    def close(self) -> None:
        """Close it once."""
        if self._closed:
            raise Released("the platform is closed")
        super().close()


@mutant(caught_by=("LC20",), origin="a flag that is set before the work it stands for")
class LeavesTheRestOfAClose(PtracePlatform):
    """Does not finish a `close` that an exception ended."""

    def close(self) -> None:
        """Close it, unless that was begun before."""
        self._has_ended = self._has_ended or self._closed
        super().close()


class _UnawareContext(PtraceContext):
    def switch(self, address_space: AddressSpace, state: State) -> Event:
        try:
            return super().switch(address_space, state)
        except WrongThread:
            if "_free" in self.__dict__:
                raise
            raise Busy("the context is being switched by another thread") from None


@mutant(
    caught_by=("encounters::a_first_switch_at_any_step_meets_any_operation",),
    origin="fork(2): a lock that another thread holds stays locked in the child for ever",
)
class TellsForkedChildrenToWait(PtracePlatform):
    """Raises `Busy` in a forked child for a context that another thread of the parent was switching."""

    context_class = _UnawareContext
