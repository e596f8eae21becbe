"""Mutants that lose interrupts, keep them, count them or send them to the wrong guest."""

from __future__ import annotations

from typing import cast

from worldswitch.harness.contract import AddressSpace, Event, Signal, State
from worldswitch.reference._core import lib
from worldswitch.reference.address_space import PtraceAddressSpace
from worldswitch.reference.context import PtraceContext
from worldswitch.reference.interrupts import INTERRUPTED, NUDGE
from worldswitch.reference.mutants import mutant
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stops import SignalInfo
from worldswitch.reference.stubprocess import StubProcess
from worldswitch.reference.tracee import Tracee


class _ForgetfulContext(PtraceContext):
    def interrupt(self) -> None:
        if self._running is not None:
            super().interrupt()


@mutant(caught_by=("IN01", "IN02", "CH12"), origin="gvisor interrupt_test.go: TestOneNotification")
class DropsEarlyInterrupts(PtracePlatform):
    """Forgets an interrupt that comes before the switch."""

    context_class = _ForgetfulContext


class _StickyContext(PtraceContext):
    def _at_once(self) -> Event:
        pending = self._pending
        event = super()._at_once()
        self._pending = pending
        return event


@mutant(caught_by=("IN01", "IN02"), origin="gvisor interrupt.Enable: it must consume what is pending")
class InterruptsForEver(PtracePlatform):
    """Returns early from every switch after an interrupt, not only from the next."""

    context_class = _StickyContext


class _CountingContext(PtraceContext):
    owed = 0

    def interrupt(self) -> None:
        self.owed += 1
        super().interrupt()

    def _at_once(self) -> Event:
        event = super()._at_once()
        self.owed -= 1
        self._pending = self.owed > 0
        return event


@mutant(caught_by=("IN02",), origin="gvisor interrupt_test.go: TestTwoNotifications")
class CountsInterrupts(PtracePlatform):
    """Returns early as often as it was interrupted."""

    context_class = _CountingContext


class _SilentContext(PtraceContext):
    def nudge(self, tracee: Tracee) -> None:
        """Do nothing."""


@mutant(caught_by=("IN03", "IN06"), origin="an interrupt that is only looked at between switches")
class NeverNudges(PtracePlatform):
    """Does not stop a guest that computes when it is interrupted."""

    context_class = _SilentContext


class _ImpreciseContext(PtraceContext):
    def nudge(self, tracee: Tracee) -> None:
        for tid in cast(StubProcess, tracee.stub).tids():
            lib.signal_thread(tracee.stub.pid, tid, NUDGE)

    def _unasked_signal(self, info: SignalInfo) -> Event | None:
        return super()._unasked_signal(info) or (INTERRUPTED if info.signo == NUDGE else None)


@mutant(caught_by=("IN03",), origin="an interrupt that is sent to the process, not to the thread")
class InterruptsEverybody(PtracePlatform):
    """Ends the switches of all contexts when one is interrupted."""

    context_class = _ImpreciseContext


class _StrayContext(PtraceContext):
    def _unasked_signal(self, info: SignalInfo) -> Event | None:
        event = super()._unasked_signal(info)
        return Signal(info.signo, info.code) if event is None and info.signo == NUDGE else event


@mutant(caught_by=("IN04",), origin="gvisor platform.SignalInterrupt: it must be tolerated wherever it arrives")
class LateNudgesAreSignals(PtracePlatform):
    """Reports a nudge that was meant for another context as a signal of the guest."""

    context_class = _StrayContext


class _EagerContext(PtraceContext):
    def _signal(self, space: PtraceAddressSpace, tracee: Tracee, state: State) -> Event | None:
        return INTERRUPTED if self._pending else super()._signal(space, tracee, state)


@mutant(caught_by=("K34",), origin="kernel.S5: of a fault and a signal that are both pending the fault comes first")
class InterruptsSwallowTraps(PtracePlatform):
    """Looks at the interrupt before it looks at the stop, and forgets what the guest did."""

    context_class = _EagerContext


class _ContentContext(PtraceContext):
    def _deliver(self, space: PtraceAddressSpace, state: State, event: Event) -> Event:
        event = super()._deliver(space, state, event)
        self._pending = False
        return event


@mutant(caught_by=("K34",), origin="an interrupt that is taken for done because the switch has ended")
class TrapsSwallowInterrupts(PtracePlatform):
    """Forgets an interrupt when the guest's switch ends by something else."""

    context_class = _ContentContext


class _FaithfulContext(PtraceContext):
    last: Tracee | None = None

    def _run_on(self, space: PtraceAddressSpace, tracee: Tracee, state: State, result: int) -> Event:
        self.last = tracee
        return super()._run_on(space, tracee, state, result)

    def interrupt(self) -> None:
        super().interrupt()
        if self.last is not None:
            lib.signal_thread(self.last.stub.pid, self.last.tid, NUDGE)


@mutant(caught_by=("IN07",), origin="gvisor f2d2ff78b: an interrupt was sent to threads that had died")
class NudgesTheDead(PtracePlatform):
    """Sends the nudge to the thread that a context ran in last, even if that is dead."""

    context_class = _FaithfulContext


# ------------------------------------------------------------------------------------------ misuse


class _StrictContext(PtraceContext):
    def interrupt(self) -> None:
        self.platform.check_open()
        super().interrupt()


@mutant(
    caught_by=("interrupts::an_interrupt_without_a_switch_to_end_harms_nobody",),
    origin="gvisor interrupt.Forwarder: a notification has no error to return",
)
class RefusesLateInterrupts(PtracePlatform):
    """Raises an error from an interrupt of a closed platform."""

    context_class = _StrictContext


class _SpendingContext(PtraceContext):
    def switch(self, address_space: AddressSpace, state: State) -> Event:
        try:
            return super().switch(address_space, state)
        except BaseException:
            self._pending = False
            raise


@mutant(
    caught_by=("interrupts::a_switch_that_is_refused_takes_no_interrupt",),
    origin="gvisor interrupt.Enable, with the Disable of an early return",
)
class SpendsInterruptsOnRefusals(PtracePlatform):
    """Forgets an interrupt when the next switch is refused."""

    context_class = _SpendingContext


class _UnguardedContext(PtraceContext):
    def pull(self) -> None:
        self._pull()


@mutant(
    caught_by=("interrupts::a_context_in_use_is_refused_and_undisturbed",),
    origin="gvisor interrupt.Enable: the check that panics on a second one, left out",
)
class PullsFromTheRunning(PtracePlatform):
    """Pulls the state of a context that is being switched."""

    context_class = _UnguardedContext
