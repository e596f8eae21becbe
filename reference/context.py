"""A context: one guest thread, and the switch into it.

`switch` runs the guest on the calling thread's own stub thread until something happens that is the caller's business.
C does the round trip (switch.c); what a stop means is decided here, a method a kind.

Interrupts
----------
The truth is `_pending`, a flag; the signal that goes to the stub thread is only a nudge to stop and look at it.  Every
stop that is no fault and no system call looks, whoever sent it; so a nudge that comes late, twice, or from a stranger
can neither make an interrupt nor lose one.  Nothing in a signal's siginfo is believed: si_pid is 0 across PID
namespaces and with a full signal queue, and anybody may forge it.  A flag that says all makes a secret in the signal
needless, and a standard signal, unlike a real-time one, needs no place in the queue (RLIMIT_SIGPENDING) and coalesces
by itself.

`interrupt` sets the flag and then looks for a running tracee, `switch` publishes the tracee and then looks at the flag,
and Python orders the two.  Seed: interrupt.Forwarder, which believes si_pid.

Signals of this process
-----------------------
A signal handler of Python's runs on the main thread when `switch` there is interrupted by it.  In the instant before
the wait it would have to wait for the guest's next stop: a program whose ^C must work at once calls `interrupt` from
the handler or runs its guests on another thread.  If the handler raises, the guest is stopped, its state is whole, and
what it did last comes with the next switch.  Another handler may raise at any call while that is being seen to, so what
must not be lost is written down between calls.  A guest that does not stop, because its control group is frozen, is
waited for until a handler raises again; then the next switch on the same thread stops it.

The interpreter's lock
----------------------
A switch gives the lock up while the guest runs and needs it back afterwards: with a thread beside it that computes in
Python, that takes up to ``sys.getswitchinterval()`` (5 ms).  Set it to 1e-4 if such threads cannot be avoided.
"""

from __future__ import annotations

import errno
import os
import signal
from typing import TYPE_CHECKING, Any

from worldswitch.harness.arch import registers as names
from worldswitch.harness.contract import (
    Access,
    AddressSpace,
    Busy,
    Died,
    Event,
    Fault,
    HostError,
    Interrupted,
    PlatformError,
    Released,
    Signal,
    State,
    StubDied,
    Syscall,
    WrongThread,
)
from worldswitch.reference import tracing, x86_64
from worldswitch.reference._core import ffi, lib
from worldswitch.reference.address_space import PtraceAddressSpace
from worldswitch.reference.extended_state import ExtendedState
from worldswitch.reference.fault_memory import FaultMemory
from worldswitch.reference.stops import (
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

if TYPE_CHECKING:
    from worldswitch.reference.ptrace import PtracePlatform

NULL = ffi.NULL

#: The nudge.  It is ignored by default: one that comes late enough to hit anybody else does nothing.
NUDGE = signal.SIGURG

INTERRUPTED = Interrupted()

#: The usual system calls as ready-made events, since making an object is a good part of what Python adds to a switch.
SYSCALLS: list[Event] = [Syscall(number) for number in range(lib.SWITCH_SYSCALLS)]

# Global names are cheaper than a module's attributes.
SWITCH_SYSCALLS: int = lib.SWITCH_SYSCALLS
SWITCH_REFUSED: int = lib.SWITCH_REFUSED
STILL_RUNNING: int = lib.SWITCH_ERROR + errno.EINTR
tracee_switch = lib.tracee_switch
tracee_halt = lib.tracee_halt

#: What C may have failed in.
REQUESTS = {
    getattr(lib, name): name
    for name in (
        *("PTRACE_GETREGS", "PTRACE_SETREGS", "PTRACE_POKEUSR", "PTRACE_GETREGSET", "PTRACE_SETREGSET"),
        *("PTRACE_GETSIGINFO", "PTRACE_INTERRUPT", "PTRACE_SYSEMU", "PTRACE_SYSEMU_SINGLESTEP"),
    )
}

PC, SP, NUMBER, CODE_SEGMENT = (names.INDEX[name] for name in ("rip", "rsp", "orig_rax", "cs"))


class PtraceContext(FaultMemory, ExtendedState):
    """One guest thread."""

    #: The requests a guest is resumed by.
    RUN: int = lib.PTRACE_SYSEMU
    STEP: int = lib.PTRACE_SYSEMU_SINGLESTEP

    def __init__(self, platform: PtracePlatform, *, resident: bool = False) -> None:
        FaultMemory.__init__(self)
        ExtendedState.__init__(self, platform.xstate_size, resident=resident)
        self.platform = platform
        #: There unless a thread is switching: deleting it is atomic, and cheaper than any lock.
        self._free = True
        self._pending = False
        self._running: Tracee | None = None
        #: Where a switch was that an exception ended, until its event is made.
        self._halted: tuple[PtraceAddressSpace, Tracee, State] | None = None
        #: An event that is made, until it is returned.
        self._undelivered: Event | None = None
        #: What C needs for a switch.
        self._admission: Any = ffi.new(
            "struct admission *", {"run": self.RUN, "step": self.STEP, "result": SWITCH_REFUSED}
        )

    # ------------------------------------------------------------------------------------------------------- switch

    def switch(self, address_space: AddressSpace, state: State) -> Event:
        """Run the guest until an event; see the contract.  Seed: switchToApp.

        The usual case, one system call after another, goes straight through here, and each line counts (about 0.03 us).
        Signal handlers of Python's run behind calls, so nothing is called after the switch itself: an event would be
        lost if one raised.
        """
        try:
            del self._free
        except AttributeError:
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
                    return self._run_on(address_space, self._running, state, result)  # type: ignore[arg-type]
            if self._halted is None:
                self._admission.result = SWITCH_REFUSED
            return self._switch_anew(address_space, state)
        except BaseException:
            self._space = None
            if self._admission.result != SWITCH_REFUSED:
                self._halted = self._halted or (address_space, self._running, state)  # type: ignore[assignment]
                self._rescue()
            raise
        finally:
            self._running = None
            self._free = True

    def _switch_anew(self, space: AddressSpace, state: State) -> Event:
        """Switch where something differs from the last time: the thread, the address space, the state."""
        if not isinstance(space, PtraceAddressSpace) or space.platform is not self.platform:
            raise TypeError(f"not an address space of this platform: {space!r}")
        try:
            stub = space.live_stub()
            tracee = tracing.tracee_for(self.platform, stub, Use.GUEST)
            runner = tracee.runner
            if runner is not None and runner is not self and runner.still_runs_in(tracee):
                raise Busy("another context's guest runs here: a signal handler came in the middle of its switch")
            # Say that we run, then look at the lease and the flag: see release and interrupt.
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

    def _run_on(self, space: PtraceAddressSpace, tracee: Tracee, state: State, result: int) -> Event:
        """Handle stops until one is an event."""
        try:
            while True:
                if result == STILL_RUNNING:
                    # Python's signal handlers run here, between two instructions.
                    result = lib.tracee_collect(self._admission)
                    continue
                if result == SWITCH_REFUSED:
                    # Somebody tried to release the address space, and was told that it is busy.
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
        """Return an event for good.  Until the last line an exception leaves it to the next switch."""
        if event is not INTERRUPTED:
            self._keep(event)
        self._remember(space, state, event)
        self._undelivered = None
        if event is INTERRUPTED:
            self._pending = False
        return event

    def _keep(self, event: Event | None) -> None:
        """Have the next switch return an event, which need not be made again."""
        self._undelivered, self._admission.result, self._halted = event, SWITCH_REFUSED, None
        self._fault = None

    def _at_once(self) -> Event:
        """What must be returned before the guest may run."""
        if self._undelivered is not None:
            event, self._undelivered = self._undelivered, None
            return event
        self._fault = None
        self._pending = False
        return INTERRUPTED

    def _rescue(self) -> None:
        """Make the event of a switch that an exception ended; if this is interrupted too, the next switch does it."""
        if self._halted is None:
            return
        space, tracee, state = self._halted
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
        """The event that a switch's result is, or None if the guest is to run on.  Raises `StubDied`."""
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
        loaded = bytes(ffi.buffer(self._admission.registers))  # what it had since is lost with it
        return StubDied(tracee.stub.bury(cause_of(stop, loaded, x86_64.dump(loaded, tracee.stub.page))))

    def _group_stop(self, stop: Stop) -> Event | None:
        """A group-stop, whatever the stop signal, is the business of whoever sent it."""
        return self._interruption()

    def _refused(self, tracee: Tracee, error: int) -> Exception:
        self._admission.result = SWITCH_REFUSED
        if error in (errno.ESRCH, errno.ECHILD):
            self.platform.check_open()
            return StubDied(tracee.gone())
        # The thread is where it was, with some of the registers perhaps written.
        self._space = None
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
        return Signal(info.signo, info.code, info.address if info.code != 0x80 else 0)

    def _vsyscall(self, state: State, info: SignalInfo) -> Event:
        """The fault that the call would have been, were the page unmapped: its return address is on the stack again.

        But the kernel has put the call's number into rax, and nothing tells what the guest had there.
        Seed: patchSignalInfo.
        """
        state.words[PC] = info.address
        state.words[SP] = (self._admission.tracee.shadow.rsp - 8) & 0xFFFF_FFFF_FFFF_FFFF
        return Fault(signal.SIGSEGV, 1, info.address, Access.EXECUTE)

    def _unasked_signal(self, info: SignalInfo) -> Event | None:
        """A signal that no instruction of the guest raised: suppressed, whoever sent it, but it may be a nudge."""
        return self._interruption()

    def _interruption(self) -> Event | None:
        return INTERRUPTED if self._pending else None

    # --------------------------------------------------------------------------------------- residency and interruption

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
        """Whether a switch is under way in that stub thread, or about to be."""
        return self._running is tracee or self.still_runs_in(tracee)

    def still_runs_in(self, tracee: Tracee) -> bool:
        """Whether the guest runs there now, as far as was seen, even if an exception has ended its switch."""
        admission = self._admission
        return bool(admission.result == STILL_RUNNING and admission.tracee == tracee.handle)

    def interrupt(self) -> None:
        """End the running switch, or the next; see the contract.  Seed: NotifyInterrupt."""
        self.platform.check_ours()
        self._pending = True
        tracee = self._running
        if tracee is not None:
            self.nudge(tracee)

    def nudge(self, tracee: Tracee) -> None:
        """Have the tracee stop.  A dead one needs none: its switch is ending anyway."""
        lib.signal_thread(tracee.stub.pid, tracee.tid, NUDGE)
