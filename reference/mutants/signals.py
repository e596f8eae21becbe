"""Mutants that mistake a signal or a stop for the guest's or the harness's."""

from __future__ import annotations

import os
import signal
import time
from typing import Any, cast

from worldswitch.harness.contract import AddressSpace, Event, Signal, State, StubDied
from worldswitch.reference import thread_tracees, x86_64
from worldswitch.reference._core import ffi, lib
from worldswitch.reference.address_space import PtraceAddressSpace
from worldswitch.reference.context import STILL_RUNNING, PtraceContext
from worldswitch.reference.interrupts import INTERRUPTED
from worldswitch.reference.mutants import mutant
from worldswitch.reference.mutants._parts import stub_of
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stops import SignalInfo, Stop
from worldswitch.reference.stubprocess import StubProcess, Use
from worldswitch.reference.tracee import ALL_SIGNALS, Tracee

# ------------------------------------------------------------------------------------------ group-stops


class _SigstopContext(PtraceContext):
    def _unasked_signal(self, info: SignalInfo) -> Event | None:
        return Signal(info.signo, info.code) if info.signo == signal.SIGSTOP else super()._unasked_signal(info)


@mutant(caught_by=("SG01", "SG06", "SG12"), origin="a tracer that knows no SIGSTOP but the one it waits for")
class SigstopIsTheGuests(PtracePlatform):
    """Reports a SIGSTOP from another process as the guest's."""

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


@mutant(caught_by=("SG05",), origin="seed.W21, gVisor 17c18241c: a stub that ends in int3, which a SIGCONT reaches")
class ParksAtABreakpoint(PtracePlatform):
    """Parks threads at a breakpoint, which kills an untraced stub."""

    stub_class = stub_of(_ParksAtBreakpoint)


# ------------------------------------------------------------------------------------------ attaching and parking


class _Stopping(Tracee):
    def attach(self, options: int) -> None:
        """Attach as the seed does, by a SIGSTOP."""
        self.request(lib.PTRACE_SEIZE, 0, options)
        lib.tracee_own(self.handle)
        lib.signal_thread(self.stub.pid, self.tid, signal.SIGSTOP)
        while self.wait().signo != signal.SIGSTOP:
            self.request(lib.PTRACE_CONT)
        self.user = None
        self.block_signals(0)


@mutant(caught_by=("K27",), origin="pitfall 8, kernel.S9: a SIGCONT takes every SIGSTOP off the queue")
class AttachesByStopping(PtracePlatform):
    """Attaches by a SIGSTOP, and waits for it."""

    stub_class = stub_of(_Stopping)


class _Expecting(Tracee):
    def attach(self, options: int) -> None:
        """Attach, and send a SIGSTOP."""
        super().attach(options)
        lib.signal_thread(self.stub.pid, self.tid, signal.SIGSTOP)
        self.request(lib.PTRACE_CONT)
        stop = self.wait()
        if stop.signo != signal.SIGSTOP:
            raise StubDied(self.give_up(f"expected SIGSTOP, got {stop}"))


@mutant(caught_by=("SG05",), origin="seed.W23, kernel.S5: of the signals that are pending the lowest comes first")
class ExpectsTheStopFirst(PtracePlatform):
    """Assumes that the first stop after attaching is the SIGSTOP."""

    stub_class = stub_of(_Expecting)


class _GenerousContext(PtraceContext):
    def switch(self, address_space: AddressSpace, state: State) -> Event:
        event = super().switch(address_space, state)
        tracee = self._holder
        if tracee is not None and tracee.stub.cause is None:
            registers = tracee.registers()
            x86_64.set_call(registers, tracee.handle.segments, tracee.stub.page.park, 0, ())
            tracee.request(lib.PTRACE_SETREGS, 0, registers)
            tracee.request(lib.PTRACE_DETACH)
            lib.tracee_park(tracee.handle)  # which finds it gone
            tracee.handle.state = lib.TRACEE_PARKED
            del thread_tracees.mine.guests[cast(StubProcess, tracee.stub)]
            self._holder = self._space = None
        return event


@mutant(caught_by=("SG05",), origin="pitfall 7: a foreign tgkill to a parked thread kills the stub")
class ParksWithSignalsOpen(PtracePlatform):
    """Detaches after each switch, with no signal blocked."""

    context_class = _GenerousContext


class _LazyContext(PtraceContext):
    def switch(self, address_space: AddressSpace, state: State) -> Event:
        event = super().switch(address_space, state)
        if self._holder is not None:
            self._holder.handle.park = state.pc
        return event


@mutant(caught_by=("SG05",), origin="pitfall 9: a parked thread that wakes must have nothing to run into")
class ParksInTheGuest(PtracePlatform):
    """Parks threads in the guest's code."""

    context_class = _LazyContext


class _StaleContext(PtraceContext):
    def _take(self, tracee: Tracee, state: State) -> Any:
        xset = super()._take(tracee, state)
        if -state.result % 2**64 in range(512, 517):
            registers = tracee.registers()
            number = registers.orig_rax
            ffi.memmove(registers, bytes(state.registers), ffi.sizeof("struct registers"))
            registers.orig_rax = number
            for name in x86_64.SEGMENTS:
                setattr(registers, name, getattr(tracee.handle.segments, name))
            tracee.request(lib.PTRACE_SETREGS, 0, registers)
            registers.rax = state.result = 0  # so that the core finds nothing to write
            tracee.handle.shadow, tracee.handle.shadow_valid = registers[0], 1
        return xset


@mutant(
    caught_by=("stops::a_thread_that_waited_restarts_nothing_of_its_guests",),
    origin="seed.W14: the number of the call that a thread was in last is kept in orig_rax",
)
class KeepsStaleNumbers(PtracePlatform):
    """Leaves the number of the thread's last call in orig_rax, and the kernel restarts that call."""

    context_class = _StaleContext


# ------------------------------------------------------------------------------------------ foreign signals


class _ForeignContext(PtraceContext):
    def _unasked_signal(self, info: SignalInfo) -> Event | None:
        return super()._unasked_signal(info) if info.pid == os.getpid() else Signal(info.signo, info.code)


@mutant(
    caught_by=(
        "SG07",
        "SG12",
        "chaos::signals_and_stops_never_change_what_a_guest_computes",
        "chaos::everything_at_once",
    ),
    origin="a tracer that does not check the sender of a signal",
)
class ForeignSignalsAreTheGuests(PtracePlatform):
    """Reports other processes' signals as the guest's."""

    context_class = _ForeignContext


class _AnyoneContext(PtraceContext):
    def _unasked_signal(self, info: SignalInfo) -> Event | None:
        return super()._unasked_signal(info) or INTERRUPTED


@mutant(caught_by=("SG07", "SG08"), origin="a tracer that takes every signal for its own")
class AnySignalIsAnInterrupt(PtracePlatform):
    """Reports every signal that stops the stub as an interrupt."""

    context_class = _AnyoneContext


class _TrustingContext(PtraceContext):
    def _unasked_signal(self, info: SignalInfo) -> Event | None:
        own = super()._unasked_signal(info)
        return INTERRUPTED if own is None and info.code <= 0 and info.pid == os.getpid() else own


@mutant(caught_by=("SG08",), origin="seed.W9: any process with the same uid can forge si_pid")
class BelievesTheSender(PtracePlatform):
    """Recognises its own signals by si_pid."""

    context_class = _TrustingContext


class _PatientContext(PtraceContext):
    def _unasked_signal(self, info: SignalInfo) -> Event | None:
        time.sleep(0.2)
        return super()._unasked_signal(info)


@mutant(caught_by=("K32",), origin="remoteprocess#83: a tracer that a storm of signals keeps from its work")
class WaitsForCalm(PtracePlatform):
    """Waits for a while after each foreign signal."""

    context_class = _PatientContext


class _StopsAtAnySignal(Tracee):
    def reach_entry(self) -> None:
        self.request(lib.PTRACE_SYSCALL)
        self.wait()

    def check_phase(self, expected: int) -> None:
        """Accept any stop."""


@mutant(caught_by=("SG10", "IJ01"), origin="seed.W13: the phase of an injected call is assumed, not asked")
class TakesAnyStopForTheEntry(PtracePlatform):
    """Mistakes the first stop of an injected call for its entry, even if it is a foreign signal."""

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
        super().block_signals(mask or ALL_SIGNALS)


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


class _DeafContext(PtraceContext):
    def switch(self, address_space: AddressSpace, state: State) -> Event:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            return super().switch(address_space, state)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@mutant(
    caught_by=("signals::a_handler_runs_while_the_main_thread_waits_for_a_guest",),
    origin="pitfall 14: a wait that is restarted, and delays ^C until the guest's next stop",
)
class LetsHandlersWait(PtracePlatform):
    """Runs Python's signal handlers only after the guest's next stop."""

    context_class = _DeafContext


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
    """Returns the same event object from each switch, with new values."""

    context_class = _OneEventContext


@mutant(caught_by=("SG17",), origin="runsc's loader, pitfall 13: a 'tremendous number' of SIGCHLDs")
class RunsAHandlerForEveryStop(PtracePlatform):
    """Does not set SA_NOCLDSTOP, so that each stop of a tracee runs the program's SIGCHLD handler."""

    def quiet_sigchld(self) -> None:
        """Do nothing."""


@mutant(caught_by=("SG03",), origin="kernel.S7: PTRACE_ATTACH leaves a SIGSTOP behind, which the first switch meets")
class LeavesTheStopOfAttaching(PtracePlatform):
    """Attaches as PTRACE_ATTACH does, by a SIGSTOP, and reports that as the guest's."""

    context_class = _SigstopContext

    def acquire(self, stub: StubProcess, use: Use) -> Tracee:
        """Take a thread, and leave a SIGSTOP on the way to it."""
        tracee = super().acquire(stub, use)
        lib.signal_thread(stub.pid, tracee.tid, signal.SIGSTOP)
        return tracee
