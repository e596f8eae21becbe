"""Mutants that take for the guest's, or for the harness's, a signal or a stop that is neither."""

from __future__ import annotations

import os
import signal
import time

from worldswitch.harness.contract import AddressSpace, Event, Signal, State
from worldswitch.reference._core import lib
from worldswitch.reference.address_space import PtraceAddressSpace
from worldswitch.reference.context import INTERRUPTED, STILL_RUNNING, PtraceContext
from worldswitch.reference.mutants import mutant
from worldswitch.reference.mutants._parts import stub_of
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stops import SignalInfo, Stop
from worldswitch.reference.stubprocess import StubProcess, Use
from worldswitch.reference.tracee import Tracee

# ------------------------------------------------------------------------------------------ group-stops


class _SigstopContext(PtraceContext):
    def _unasked_signal(self, info: SignalInfo) -> Event | None:
        return Signal(info.signo, info.code) if info.signo == signal.SIGSTOP else super()._unasked_signal(info)


@mutant(caught_by=("SG01", "SG06", "SG12"), origin="a tracer that knows no SIGSTOP but the one it waits for")
class SigstopIsTheGuests(PtracePlatform):
    """Reports a SIGSTOP that somebody sends to the stub as the guest's."""

    context_class = _SigstopContext


class _GroupStopContext(PtraceContext):
    def _group_stop(self, stop: Stop) -> Event | None:
        return Signal(stop.signo, 0)


@mutant(caught_by=("SG02",), origin="seed.W8: a group-stop has no siginfo, and the seed panics where it asks for one")
class GroupStopsAreSignals(PtracePlatform):
    """Reports the group-stop that a sibling thread was caught in as a signal of the guest."""

    context_class = _GroupStopContext


class _KnowsOnlySigstopContext(PtraceContext):
    def _unasked_signal(self, info: SignalInfo) -> Event | None:
        if info.signo in (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
            return Signal(info.signo, info.code)
        return super()._unasked_signal(info)


@mutant(caught_by=("SG04",), origin="seed.W8: the test for a group-stop is `sig == SIGSTOP`")
class KnowsNoStopSignalButSigstop(PtracePlatform):
    """Reports SIGTSTP, SIGTTIN and SIGTTOU as the guest's."""

    context_class = _KnowsOnlySigstopContext


class _ParksAtBreakpoint(Tracee):
    def __init__(self, stub: StubProcess, tid: int) -> None:
        super().__init__(stub, tid)
        self.handle.park = stub.page.entry


@mutant(caught_by=("SG05",), origin="gVisor 17c18241c: a stub that ends in int3, and a SIGCONT lets it get there")
class ParksAtABreakpoint(PtracePlatform):
    """Lets a parked thread run into a breakpoint, which kills a stub that nobody traces."""

    stub_class = stub_of(_ParksAtBreakpoint)


# ------------------------------------------------------------------------------------------ foreign signals


class _ForeignContext(PtraceContext):
    def _unasked_signal(self, info: SignalInfo) -> Event | None:
        return super()._unasked_signal(info) if info.pid == os.getpid() else Signal(info.signo, info.code)


@mutant(caught_by=("SG07", "SG12"), origin="a tracer that never asks who sent a signal")
class ForeignSignalsAreTheGuests(PtracePlatform):
    """Reports what other processes send to the stub as signals of the guest."""

    context_class = _ForeignContext


class _AnyoneContext(PtraceContext):
    def _unasked_signal(self, info: SignalInfo) -> Event | None:
        return super()._unasked_signal(info) or INTERRUPTED


@mutant(caught_by=("SG07", "SG08"), origin="a tracer that takes every signal for its own")
class AnySignalIsAnInterrupt(PtracePlatform):
    """Takes whatever signal stops the stub for an interrupt, whoever sent it."""

    context_class = _AnyoneContext


class _TrustingContext(PtraceContext):
    def _unasked_signal(self, info: SignalInfo) -> Event | None:
        own = super()._unasked_signal(info)
        return INTERRUPTED if own is None and info.code <= 0 and info.pid == os.getpid() else own


@mutant(caught_by=("SG08",), origin="seed.W9: si_pid can be forged by anybody with the same uid")
class BelievesTheSender(PtracePlatform):
    """Takes a signal for its own by the pid that its sender claims."""

    context_class = _TrustingContext


class _PatientContext(PtraceContext):
    def _unasked_signal(self, info: SignalInfo) -> Event | None:
        time.sleep(0.05)
        return super()._unasked_signal(info)


@mutant(caught_by=("K32",), origin="remoteprocess#83: a tracer that a storm of signals keeps from its work")
class WaitsForCalm(PtracePlatform):
    """Lets a guest stand still for a while after each foreign signal."""

    context_class = _PatientContext


class _StopsAtAnySignal(Tracee):
    def reach_entry(self) -> None:
        self.request(lib.PTRACE_SYSCALL)
        self.wait()

    def check_phase(self, expected: int) -> None:
        """Believe that any stop is the right one."""


@mutant(caught_by=("SG10", "IJ01"), origin="seed.W13: the phase of an injected call is assumed, not asked")
class TakesAnyStopForTheEntry(PtracePlatform):
    """Takes the first stop of an injected call for its entry, even if it is a foreign signal."""

    stub_class = stub_of(_StopsAtAnySignal)


class _QueueingContext(PtraceContext):
    def nudge(self, tracee: Tracee) -> None:
        lib.signal_thread(tracee.stub.pid, tracee.tid, signal.SIGRTMAX)


@mutant(caught_by=("SG11",), origin="kernel.I6: a full queue refuses a real-time signal with EAGAIN")
class NeedsAPlaceInTheSignalQueue(PtracePlatform):
    """Interrupts by a real-time signal, and loses it when the queue of signals is full."""

    context_class = _QueueingContext


class _KeepsInheritedMask(Tracee):
    def block_signals(self, mask: int) -> None:
        super().block_signals(mask or 0xFFFF_FFFF_FFFF_FFFF)


@mutant(caught_by=("IN03", "SG15"), origin="gvisor forkStub: unmask all signals, or the tracer never sees them")
class LeavesSignalsBlocked(PtracePlatform):
    """Runs guests with all signals blocked, so that nothing interrupts them."""

    stub_class = stub_of(_KeepsInheritedMask)


class _ImpatientContext(PtraceContext):
    def _run_on(self, space: PtraceAddressSpace, tracee: Tracee, state: State, result: int) -> Event:
        if result == STILL_RUNNING:
            self.interrupt()
        return super()._run_on(space, tracee, state, result)


@mutant(caught_by=("SG19",), origin="a tracer that takes EINTR for an event")
class EintrEndsASwitch(PtracePlatform):
    """Ends the switch when the tracing thread's own wait is interrupted by a signal."""

    context_class = _ImpatientContext


class _CarelessContext(PtraceContext):
    def _rescue(self) -> None:
        self._keep(None)


@mutant(caught_by=("SG19",), origin="a tracer whose wait is ended by KeyboardInterrupt, after the stop")
class ForgetsTheEventOfAnException(PtracePlatform):
    """Drops the event of a switch that ended in an exception of a signal handler."""

    context_class = _CarelessContext


class _OneEventContext(PtraceContext):
    def switch(self, address_space: AddressSpace, state: State) -> Event:
        event = super().switch(address_space, state)
        shared = _shared.setdefault(type(event), event)
        for name in event.__slots__:
            object.__setattr__(shared, name, getattr(event, name))
        return shared


_shared: dict[type[Event], Event] = {}


@mutant(caught_by=("SG18",), origin="gVisor de5a590ee: the next switch reused the siginfo that the last one returned")
class ReusesItsEvents(PtracePlatform):
    """Returns one and the same event from each switch, filled in anew."""

    context_class = _OneEventContext


@mutant(caught_by=("SG17",), origin="runsc's loader: 'a tremendous number of useless' SIGCHLDs without SA_NOCLDSTOP")
class RunsAHandlerForEveryStop(PtracePlatform):
    """Leaves SIGCHLD as it finds it, so that each stop of a tracee runs the program's handler."""

    def quiet_sigchld(self) -> None:
        """Do nothing about it."""


@mutant(caught_by=("SG03",), origin="kernel.S7: PTRACE_ATTACH leaves a SIGSTOP behind, which the first switch meets")
class LeavesTheStopOfAttaching(PtracePlatform):
    """Attaches as PTRACE_ATTACH does, by a SIGSTOP, and reports that as the guest's."""

    context_class = _SigstopContext

    def acquire(self, stub: StubProcess, use: Use) -> Tracee:
        """Take a thread, and leave a SIGSTOP on the way to it."""
        tracee = super().acquire(stub, use)
        lib.signal_thread(stub.pid, tracee.tid, signal.SIGSTOP)
        return tracee
