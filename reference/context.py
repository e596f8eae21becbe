"""A context: one guest thread, and the switch into it.

`switch` runs the guest on the calling thread's own stub thread until an event.  C does the round trip (switch.c); this
file decides what a stop means, a method for each kind.

The interrupt protocol is in `interrupts`, the write heuristic in `fault_memory`, the vector registers in
`extended_state`.

The fields of a context
-----------------------
Only the thread that has deleted `_free` writes them, with three exceptions.  Any thread sets `_pending`.  A thread that
unmaps clears `_fault`, under the fault lock.  Another context that takes the stub thread over clears `_holder` and
`_space`; it runs on the thread that switched this one last.

===================  ==================================================================================================
`_free`              there unless a thread is in `switch` or `pull`
`_pending`           an interrupt was asked for and not returned yet
`_running`           the tracee of the switch under way, None outside of `switch`
`_admission.result`  result of the last C call: SWITCH_REFUSED (the guest did not run), STILL_RUNNING, or its stop
`_holder`            the tracee that has the extended state `_loaded_version` of `_state`, or None
`_admission.result`  the result of the last C call: SWITCH_REFUSED (the guest did not run), STILL_RUNNING, or its stop
`_halted`            where an exception ended a switch whose stop is not an event yet (in `_admission.result`), or None
`_undelivered`       an event that was made and not returned, or None
`_fault`             the last switch's fault, or None
===================  ==================================================================================================

===================================  ===========  ==============  ===================  ============  ==================
State                                `_free`      `_running`      `_admission.result`  `_halted`     `_undelivered`
===================================  ===========  ==============  ===================  ============  ==================
idle                                 there        None            any                  None          None
the guest runs                       deleted      the tracee      STILL_RUNNING        None          None
a stop is being handled              deleted      the tracee      the stop             None          None
an event is being returned           deleted      the tracee      SWITCH_REFUSED       None          the event
an exception ended the switch        there        None            not SWITCH_REFUSED   where it was  None
... and its event is made            there        None            SWITCH_REFUSED       None          the event, or None
===================================  ===========  ==============  ===================  ============  ==================

From each of the last two the next switch returns the event before the guest runs again.

Signals of this process
-----------------------
Python runs a signal handler on the main thread when the signal interrupts a `switch` there.  A signal that arrives in
the instant before the wait is seen only at the guest's next stop: if ^C must work at once, call `interrupt` from the
handler or run guests on another thread.  If the handler raises, the guest is stopped, its state is whole, and its last
event is returned by the next switch.  Another handler may raise at any call of that, so what must not be lost is
stored between calls.  A guest that does not stop, because its control group is frozen, is waited for until a handler
raises again; the next switch on the same thread stops it.

The interpreter's lock
----------------------
A switch releases the lock while the guest runs and needs it back afterwards: with another thread that computes in
Python, that takes up to ``sys.getswitchinterval()`` (5 ms).  Set it to 1e-4 if such threads cannot be avoided.
"""

from __future__ import annotations

import errno
import os
import signal
from typing import Any

from worldswitch.harness.arch import registers as names
from worldswitch.harness.contract import (
    Access,
    AddressSpace,
    Busy,
    Died,
    Event,
    Fault,
    HostError,
    PlatformError,
    Released,
    Signal,
    State,
    StubDied,
    Syscall,
    WrongThread,
)
from worldswitch.reference import thread_tracees, x86_64
from worldswitch.reference._core import ffi, lib
from worldswitch.reference.address_space import PtraceAddressSpace
from worldswitch.reference.extended_state import ExtendedState
from worldswitch.reference.fault_memory import FaultMemory
from worldswitch.reference.interrupts import INTERRUPTED, Interruptible
from worldswitch.reference.refusals import REQUESTS
from worldswitch.reference.services import Services
from worldswitch.reference.stops import (
    SEGV_MAPERR,
    SI_KERNEL,
    SYS_SECCOMP,
    SignalInfo,
    Stop,
    StopKind,
    cause_of,
    decode,
    decode_siginfo,
    decode_syscall_info,
)
from worldswitch.reference.stubprocess import Use
from worldswitch.reference.tracee import Tracee

NULL = ffi.NULL

#: The usual system calls as ready-made events: making an object is a good part of what Python adds to a switch.
SYSCALLS: list[Event] = [Syscall(number) for number in range(lib.SWITCH_SYSCALLS)]

# Global names are cheaper than a module's attributes.
SWITCH_SYSCALLS: int = lib.SWITCH_SYSCALLS
SWITCH_REFUSED: int = lib.SWITCH_REFUSED
STILL_RUNNING: int = lib.SWITCH_ERROR + errno.EINTR
tracee_switch = lib.tracee_switch
tracee_halt = lib.tracee_halt

PC, SP, NUMBER, CODE_SEGMENT = (names.INDEX[name] for name in ("rip", "rsp", "orig_rax", "cs"))


class PtraceContext(Interruptible, FaultMemory, ExtendedState):
    """One guest thread."""

    # Seams: overridden by mutants, as is each method that makes an event.  Some take arguments that only mutants use.

    #: The requests that resume a guest.
    RUN: int = lib.PTRACE_SYSEMU
    STEP: int = lib.PTRACE_SYSEMU_SINGLESTEP

    def __init__(self, platform: Services, *, resident: bool = False) -> None:
        Interruptible.__init__(self, platform)
        FaultMemory.__init__(self)
        ExtendedState.__init__(self, platform.xstate_size, resident=resident)
        #: Deleting it is atomic under the interpreter's lock, and costs a third of a threading.Lock (Python 3.11).
        self._free = True
        self._halted: tuple[AddressSpace, Tracee | None, State] | None = None
        self._undelivered: Event | None = None
        #: What C needs for a switch.
        self._admission: Any = ffi.new(
            "struct admission *", {"run": self.RUN, "step": self.STEP, "result": SWITCH_REFUSED}
        )

    # ------------------------------------------------------------------------------------------------------- switch

    def switch(self, address_space: AddressSpace, state: State) -> Event:
        """Run the guest until an event; see the contract.  Seed: switchToApp.

        The usual case, one system call after another, goes straight through here, and each line costs about 0.03 us.
        Python runs signal handlers after calls, so nothing is called after the switch itself: if a handler raised
        there, an event would be lost.
        """
        try:
            del self._free
        except AttributeError:
            self.platform.check_ours()  # a fork copies the mark, and not the thread
            raise Busy("the context is being switched by another thread") from None
        try:
            self._running = self._holder
            if (
                address_space is self._space
                and state is self._state
                and state.xstate_version == self._loaded_version
                and not self._pending
            ):
                result: int = tracee_switch(self._admission)
                if result < SWITCH_SYSCALLS:
                    self._fault = None
                    return SYSCALLS[result]
                if result != SWITCH_REFUSED:
                    return self._run_on_as_before(state, result)
            if self._halted is None:
                self._admission.result = SWITCH_REFUSED
            return self._switch_anew(address_space, state)
        except BaseException:
            self._space = None
            if self._admission.result != SWITCH_REFUSED:
                self._halted = self._halted or (address_space, self._running, state)
                self._rescue()
            raise
        finally:
            self._running = None
            self._free = True

    def _switch_anew(self, space: AddressSpace, state: State) -> Event:
        """Switch where the thread, the address space or the state differs from the last switch."""
        if not isinstance(space, PtraceAddressSpace) or space.platform is not self.platform:
            raise TypeError(f"not an address space of this platform: {space!r}")
        try:
            stub = space.live_stub()
            tracee = thread_tracees.tracee_for(self.platform.acquire, stub, Use.GUEST)
            runner = tracee.runner
            if runner is not None and runner is not self and runner.still_runs_in(tracee):
                raise Busy("another context's guest runs here: a signal handler interrupted its switch")
            # Publish the tracee, then look at the lease and the flag: see release and interrupt.
            self._running, tracee.runner = tracee, self
            if not space.is_leased(stub):
                raise Released("the address space was released")
            self._rescue()
            if self._undelivered is not None or self._pending:
                return self._at_once()
            if state is not self._state:
                self._bind(state)
            admission = self._admission
            admission.registers, admission.xget = self._registers, NULL if self.resident else self._xstate
            tracee.admit(admission)
            self._space = space
            if tracee is not self._holder or tracee.user is not self or state.xstate_version != self._loaded_version:
                admission.xset = self._take(tracee, state)
            return self._run_on(space, tracee, state, tracee_switch(admission))
        except StubDied as death:
            return Died(death.cause)

    def _run_on_as_before(self, state: State, result: int) -> Event:
        space, tracee = self._space, self._running
        assert isinstance(space, PtraceAddressSpace)
        assert tracee is not None
        return self._run_on(space, tracee, state, result)

    def _run_on(self, space: PtraceAddressSpace, tracee: Tracee, state: State, result: int) -> Event:
        """Handle stops until one is an event."""
        try:
            while True:
                if result == STILL_RUNNING:
                    # Python's signal handlers run here, between two instructions.
                    result = lib.tracee_collect(self._admission)
                    continue
                if result == SWITCH_REFUSED:
                    # A release of the address space was tried, and refused as busy.
                    tracee.admit(self._admission)
                    result = tracee_switch(self._admission)
                    continue
                event = self._event_of(space, tracee, state, result)
                if event is not None:
                    return self._deliver(space, state, event)
                result = tracee_switch(self._admission)
        except StubDied as death:
            return Died(death.cause)

    def _deliver(self, space: PtraceAddressSpace, state: State, event: Event) -> Event:
        """Return an event.  If an exception comes before the last line, the next switch returns the event."""
        if event is not INTERRUPTED:
            self._keep(event)
        self._remember(space, state, event)
        self._undelivered = None
        if event is INTERRUPTED:
            self._pending = False
        return event

    def _keep(self, event: Event | None) -> None:
        """Store an event for the next switch to return."""
        self._undelivered, self._admission.result, self._halted = event, SWITCH_REFUSED, None
        self._fault = None

    def _at_once(self) -> Event:
        """The event that must be returned before the guest may run."""
        if self._undelivered is not None:
            event, self._undelivered = self._undelivered, None
            return event
        self._fault = None
        self._pending = False
        return INTERRUPTED

    def _rescue(self) -> None:
        """Make the event of a switch that an exception ended; after another exception, the next switch tries again."""
        if self._halted is None:
            return
        space, tracee, state = self._halted
        assert isinstance(space, PtraceAddressSpace)
        assert tracee is not None
        self._halt(tracee)
        try:
            event = self._event_of(space, tracee, state, self._admission.result)
        except StubDied as death:
            event = Died(death.cause)
        except PlatformError:
            event = None  # it will come again
        if event is INTERRUPTED:
            self._pending = True
            event = None
        self._keep(event)
        if event is not None:
            self._remember(space, state, event)

    def _halt(self, tracee: Tracee) -> None:
        """Stop the guest of a switch that an exception ended.  Raises `WrongThread` on a thread that does not trace it.

        Python's signal handlers run after each call: one that raises ends the wait.
        """
        admission = self._admission
        while admission.result == STILL_RUNNING:
            if tracee.stub.cause is not None:
                admission.result = lib.SWITCH_ERROR + errno.ESRCH
            elif tracee_halt(admission) == SWITCH_REFUSED:
                raise WrongThread(
                    f"the context's guest did not stop yet, and only thread {tracee.handle.owner} can stop it: "
                    "switch the context there first"
                )

    # ----------------------------------------------------------------------------------------------- what a stop means

    def _event_of(self, space: PtraceAddressSpace, tracee: Tracee, state: State, result: int) -> Event | None:
        """The event that a switch's result is, or None if the guest is to run on.  Raises `StubDied`, `HostError`."""
        if result <= lib.SWITCH_UNUSUAL_SYSCALL:
            return Syscall(state.words[NUMBER])
        if result < lib.SWITCH_UNREAD:
            raise self._refused(tracee, result - lib.SWITCH_ERROR)
        if result < lib.SWITCH_STOP:
            raise self._unread(tracee, result - lib.SWITCH_UNREAD)
        stop = decode(result - lib.SWITCH_STOP)
        match stop.kind:
            case StopKind.DEATH:
                raise self._death(tracee, stop)
            case StopKind.SYSCALL:
                return self._foreign_syscall(tracee, state)
            case StopKind.SIGNAL:
                return self._signal(space, tracee, state)
            case _:
                return self._group_stop(stop)

    def _death(self, tracee: Tracee, stop: Stop) -> Exception:
        loaded = bytes(ffi.buffer(self._admission.registers))  # later values died with it
        return StubDied(tracee.stub.bury(cause_of(stop, loaded, x86_64.dump(loaded, tracee.stub.page))))

    def _group_stop(self, stop: Stop) -> Event | None:
        """A group-stop, of any stop signal, concerns the process that sent it and not the guest."""
        return self._interruption()

    def _refused(self, tracee: Tracee, error: int) -> Exception:
        self._admission.result = SWITCH_REFUSED
        if error in (errno.ESRCH, errno.ECHILD):
            self.platform.check_open()
            return StubDied(tracee.gone())
        loading = "loading the guest's registers (a segment base or the extended state is not acceptable)"
        resuming = self._admission.failed in (self._admission.run, self._admission.step)
        return HostError(error, f"{self._failed_request()}, {'resuming the guest' if resuming else loading}")

    def _unread(self, tracee: Tracee, error: int) -> Exception:
        """The guest ran, and what it did cannot be known: neither it nor its caller can go on."""
        self._admission.result = SWITCH_REFUSED
        return StubDied(tracee.give_up(f"{self._failed_request()} after the guest ran: {os.strerror(error)}"))

    def _failed_request(self) -> str:
        failed = self._admission.failed
        return REQUESTS.get(failed, f"ptrace request {failed:#x}")

    def _foreign_syscall(self, tracee: Tracee, state: State) -> Event:
        admission = self._admission
        info = decode_syscall_info(bytes(ffi.buffer(admission.about))) if admission.about_length > 0 else None
        abi = x86_64.abi_of(info, state.words[CODE_SEGMENT], tracee.handle.segments.cs)
        return Syscall(state.words[NUMBER], abi)

    def _signal(self, space: PtraceAddressSpace, tracee: Tracee, state: State) -> Event | None:
        info = decode_siginfo(bytes(ffi.buffer(self._admission.about)))
        if not info.is_synchronous:
            return self._unasked_signal(info)
        if info.signo == signal.SIGSYS and info.code == SYS_SECCOMP and info.address in x86_64.VSYSCALL_PAGE:
            return self._vsyscall(state, info)
        if info.has_address:
            return Fault(info.signo, info.code, info.address, self._access(space, state, info.address))
        return Signal(info.signo, info.code, info.address if info.code != SI_KERNEL else 0)

    def _vsyscall(self, state: State, info: SignalInfo) -> Event:
        """The fault that the call would be if the page were unmapped: its return address is pushed again.

        The kernel has put the call's number into rax, and the guest's value is lost.  Seed: patchSignalInfo.
        """
        state.words[PC] = info.address
        state.words[SP] = (self._admission.tracee.shadow.rsp - x86_64.WORD_SIZE) & x86_64.WORD_MASK
        return Fault(signal.SIGSEGV, SEGV_MAPERR, info.address, Access.EXECUTE)

    def _unasked_signal(self, info: SignalInfo) -> Event | None:
        """A signal that no instruction of the guest raised: it is suppressed, but may be a nudge."""
        return self._interruption()

    # ------------------------------------------------------------------------------------------------------- residency

    def pull(self) -> None:
        """Fetch a resident context's extended state; see the contract."""
        self.platform.check_ours()
        try:
            del self._free
        except AttributeError:
            raise Busy("the context is being switched by another thread") from None
        try:
            self._rescue()
            self._pull()
        finally:
            self._free = True

    def is_running_in(self, tracee: Tracee) -> bool:
        """True if a switch is under way in that stub thread, or about to be."""
        return super().is_running_in(tracee) or self.still_runs_in(tracee)

    def still_runs_in(self, tracee: Tracee) -> bool:
        """True if the guest was last seen running there, even if an exception has ended its switch."""
        admission = self._admission
        return bool(admission.result == STILL_RUNNING and admission.tracee == tracee.handle)
