"""One traced stub thread: attach to it, have it make a system call, park it.

Every operation belongs to the thread that attached.  A tracee is for guests or for injected calls, and its use never
changes: after a PTRACE_SYSEMU stop, PTRACE_SYSCALL first reports the *exit* of the skipped call (the kernel decides at
entry whether to skip), and each later injection would read the result before its own.
"""

from __future__ import annotations

import errno
import os
import threading
from typing import Any, Protocol

from worldswitch.harness.contract import Cause, Death, HostError, StubDied
from worldswitch.reference import x86_64
from worldswitch.reference._core import ffi, lib
from worldswitch.reference.filter import key_of
from worldswitch.reference.refusals import RequestRefused, why_this_thread
from worldswitch.reference.stops import (
    SIGINFO_SIZE,
    SYS_SECCOMP,
    WALL,
    SignalInfo,
    Stop,
    StopKind,
    cause_of,
    decode,
    decode_siginfo,
    decode_syscall_info,
)
from worldswitch.reference.stub_page import StubPage
from worldswitch.reference.tracing_threads import thread_stat

#: Results of a call that was interrupted and is to be made again (include/linux/errno.h; user space never sees them).
ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND = 512, 513, 514
ERESTART_RESTARTBLOCK = 516

#: Results up to this are negated errnos (include/linux/err.h: MAX_ERRNO).
MAX_ERRNO = 4095

#: Room for a struct ptrace_syscall_info (include/uapi/linux/ptrace.h), which has 88 bytes and may grow.
SYSCALL_INFO_SIZE = 96

#: How many pending signals are read at once.
PENDING_SIGNALS = 8

SIGSET_SIZE = 8  # the kernel's sigset_t, in bytes
NO_SIGNALS, ALL_SIGNALS = 0, 0xFFFF_FFFF_FFFF_FFFF

NULL = ffi.NULL


class Stub(Protocol):
    """The stub process, as its threads know it."""

    pid: int
    page: StubPage
    key: int
    cause: Cause | None

    @property
    def is_ours(self) -> bool:
        """False in a forked process."""

    def segments_to(self, handle: Any) -> None:
        """Give a tracee the segment selectors that this stub's threads have."""

    def signal(self, tid: int, signo: int) -> None:
        """Send a signal to one of its threads, unless the process is reaped."""

    def kill(self) -> None:
        """Send SIGKILL, unless the process is reaped."""

    def bury(self, cause: Cause) -> Cause:
        """Record its death; returns the cause, which is the first that was given."""

    def bury_unseen(self) -> Cause:
        """Record a death whose status was collected elsewhere."""

    def look_for_vanished(self, *, thoroughly: bool = False) -> None:
        """Bury it if a thread that traces it vanished."""


class Runner(Protocol):
    """A context, as the thread it runs in knows it."""

    def is_running_in(self, tracee: Tracee) -> bool:
        """True if a switch is under way there, or about to be."""

    def still_runs_in(self, tracee: Tracee) -> bool:
        """True if the guest was last seen running there, even if an exception has ended its switch."""


class User(Protocol):
    """A context, as the thread that holds its extended state knows it."""

    resident: bool

    def fetch_from(self, tracee: Tracee) -> None:
        """Read the extended state out of the thread."""


class Tracee:
    """One stub thread."""

    # Seams: overridden by mutants, as are `attach`, `block_signals`, `claim`, `request`, `wait`, `call`, `call_once`
    # and the `reach_` and `check_` methods.

    #: After these results the call is simply made again.
    RESTARTED = frozenset((ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND))

    def __init__(self, stub: Stub, tid: int) -> None:
        self.stub = stub
        self.tid = tid
        self.handle = lib.tracee_new(stub.pid, tid)
        if self.handle == NULL:
            raise MemoryError("no memory for a tracee")
        self.handle.park = stub.page.park
        stub.segments_to(self.handle)
        #: The context that last began a switch here.
        self.runner: Runner | None = None
        #: The context whose extended state the thread holds.
        self.user: User | None = None
        #: The memory that a resident context's extended state is written to when the tracing thread ends.
        self.kept: Any = None
        self._registers = ffi.new("struct registers *")

    def __del__(self) -> None:
        if getattr(self, "handle", NULL) != NULL and self.stub.is_ours:
            lib.tracee_drop(self.handle)

    # ------------------------------------------------------------------------------------------------ attaching

    def claim(self) -> bool:
        """Take the right to attach; returns False if the thread is not parked."""
        return bool(lib.tracee_claim(self.handle))

    def attach(self, options: int) -> None:
        """Trace it from this thread, and stop it.  Raises `StubDied`, and `HostError` if another thread traces it.

        A signal handler of Python's may raise at any step; the same thread may then call this again.
        """
        status = ffi.new("int *")
        while (rc := lib.tracee_attach(self.handle, options, status)) == -errno.EINTR:
            pass
        if rc in (-errno.ESRCH, -errno.ECHILD) or (rc == -errno.EPERM and self._has_ended()):
            raise StubDied(self.gone())
        if rc in (-errno.EAGAIN, -errno.ENOMEM):
            raise HostError(-rc, "registering the end of this thread, at which its tracees are parked (a pthread key)")
        if rc < 0:
            why = why_this_thread(-rc, self.tid)
            raise HostError(-rc, f"attaching to thread {self.tid} of stub {self.stub.pid}{why}")
        if status[0] != 0 and decode(status[0]).kind is StopKind.DEATH:
            raise StubDied(self.gone_with(status[0]))
        self.user = None
        self.block_signals(NO_SIGNALS)

    def _has_ended(self) -> bool:
        """Whether it is dead: attaching to a thread that has ended but is not reaped is EPERM (kernel/ptrace.c).

        With no file descriptor left, /proc shows nothing, and only a signal tells.
        """
        stat = thread_stat(self.stub.pid, self.tid)
        return stat[0] in "ZX" if stat else bool(lib.signal_thread(self.stub.pid, self.tid, 0) != 0)

    @property
    def is_mine(self) -> bool:
        """The calling thread has claimed it or owns it."""
        return bool(self.handle.state in (lib.TRACEE_CLAIMED, lib.TRACEE_OWNED)) and bool(
            self.handle.thread == threading.get_ident()
        )

    def block_signals(self, mask: int) -> None:
        """Set its signal mask.

        A parked thread blocks all signals: any that another process sends would kill the stub.  A traced one blocks
        none: its tracer would not see them.
        """
        self.request(lib.PTRACE_SETSIGMASK, SIGSET_SIZE, ffi.new("unsigned long *", mask))

    def admit(self, admission: Any) -> None:
        """Admit this admission, and no other, to switch it from now on."""
        admission.tracee = self.handle
        lib.tracee_admit(self.handle, admission)

    def park(self) -> None:
        """Send it back to the stub's waiting place and detach.  Raises `StubDied`."""
        if lib.tracee_park(self.handle) < 0:
            raise StubDied(self.gone())

    # --------------------------------------------------------------------------------------------- ptrace, waiting

    def request(self, request: int, address: int = 0, data: Any = 0) -> int:
        """Make one ptrace request.  Raises `StubDied`, and `RequestRefused` for a living tracee."""
        if isinstance(data, int):
            data = ffi.cast("void *", data)
        result: int = lib.tracee_request(request, self.tid, address, data)
        if result == -errno.ESRCH:
            raise StubDied(self.gone())
        if result < 0:
            raise RequestRefused(-result, request)
        return result

    def wait(self) -> Stop:
        """Wait for its next stop.  Raises `StubDied`.

        There is no deadline: a stub whose control group is frozen stops when it is thawed.  If another thread's wait
        took the stop, the creator thread finds that and ends the stub.
        """
        status = ffi.new("int *")
        while True:
            rc = lib.tracee_await(self.handle, status)
            if rc == -errno.EINTR:
                continue
            if rc < 0:
                raise StubDied(self.gone())
            stop = decode(status[0])
            if stop.kind is StopKind.DEATH:
                raise StubDied(self.stub.bury(cause_of(stop, *self.last_words())))
            return stop

    def gone(self) -> Cause:
        """The kernel does not know it (any more): find the cause, and bury the whole stub.

        ESRCH may also mean that it is dying just now.  SIGKILL does not change the cause of that, and bounds the wait.
        """
        if self.stub.cause is not None:
            return self.stub.cause
        self.stub.kill()
        status = ffi.new("int *")
        while (rc := lib.tracee_wait(self.tid, WALL, status)) == -errno.EINTR or (rc > 0 and os.WIFSTOPPED(status[0])):
            status[0] = 0
        return self.gone_with(status[0])

    def gone_with(self, status: int) -> Cause:
        """Bury the whole stub, with its last wait status as the cause; 0 if no wait found one."""
        stop = decode(status)
        if status != 0 and stop.kind is StopKind.DEATH:
            return self.stub.bury(cause_of(stop, *self.last_words()))
        return self.stub.bury_unseen()

    def signal_info(self) -> SignalInfo:
        """The signal it is stopped for.  Raises `StubDied`, and OSError (EINVAL) in a group-stop."""
        raw = ffi.new("unsigned char[]", SIGINFO_SIZE)
        self.request(lib.PTRACE_GETSIGINFO, 0, raw)
        return decode_siginfo(bytes(ffi.buffer(raw)))

    def syscall_info(self) -> tuple[int, int] | None:
        """Whether a system call stop is an entry or an exit, and its architecture; None before Linux 5.3."""
        info = ffi.new("unsigned char[]", SYSCALL_INFO_SIZE)
        try:
            self.request(lib.PTRACE_GET_SYSCALL_INFO, SYSCALL_INFO_SIZE, info)
        except OSError:
            return None
        return decode_syscall_info(bytes(ffi.buffer(info)))

    def registers(self) -> Any:
        """Its 64-bit registers, read from the kernel in any mode of the thread (GETREGSET follows the mode)."""
        self.request(lib.PTRACE_GETREGS, 0, self._registers)
        return self._registers

    def read_xstate(self, target: Any) -> None:
        """Read its extended state into `target`.  Raises `StubDied`: a state that cannot be read is lost."""
        rc = lib.tracee_read_xstate(self.handle, target)
        if rc == -errno.ESRCH:
            raise StubDied(self.gone())
        if rc < 0:
            raise StubDied(self.give_up(f"PTRACE_GETREGSET of the extended state: {os.strerror(-rc)}"))

    def last_words(self) -> tuple[bytes, str]:
        """Its last known registers, as bytes and as a text."""
        raw = bytes(ffi.buffer(ffi.addressof(self.handle.shadow) if self.handle.shadow_valid else self._registers))
        return raw, x86_64.dump(raw, self.stub.page)

    # --------------------------------------------------------------------------------------------------- injection

    def call(self, number: int, *arguments: int) -> int:
        """Have it make a system call, again if it was interrupted; returns the raw result (a negated errno).

        Raises `StubDied`, also if the stub's own code faults or its filter forbids the call.
        Seed: syscallIgnoreInterrupt.
        """
        result = self.call_once(number, *arguments)
        while True:
            if -result in self.RESTARTED:
                result = self.call_once(number, *arguments)
            elif -result == ERESTART_RESTARTBLOCK:
                # The kernel keeps the remaining time of a sleep or poll in the thread; only this call reads it.
                result = self.call_once(lib.SYS_restart_syscall)
            else:
                return result

    def call_once(self, number: int, *arguments: int) -> int:
        """Make one system call, entry to exit, past the stops that come before it.  Seed: thread.syscall."""
        try:
            key = key_of(number, self.stub.key)
            x86_64.set_call(self._registers, self.handle.segments, self.stub.page.call, number, arguments, key)
            self.request(lib.PTRACE_SETREGS, 0, self._registers)
            lib.tracee_place(self.handle)
            self.reach_entry()
            self.request(lib.PTRACE_SYSCALL)
            self.reach_exit()
            result = x86_64.signed(self.registers().rax)
            if result == number:
                self.check_not_condemned()
            return result
        except StubDied:
            raise
        except BaseException as error:
            # A KeyboardInterrupt, say: the thread may be at any step of the call now.
            self.give_up(f"{type(error).__name__} in the middle of an injected call")
            raise

    def reach_entry(self) -> None:
        """Run to the system call's entry, past the stops that other processes' signals cause."""
        while True:
            self.request(lib.PTRACE_SYSCALL)
            stop = self.wait()
            if stop.kind is StopKind.SYSCALL:
                self.check_phase(lib.PTRACE_SYSCALL_INFO_ENTRY)
                return
            if stop.kind is StopKind.SIGNAL:
                self.check_not_faulting()

    def reach_exit(self) -> None:
        """Wait for the system call's exit: no other stop comes between (ptrace(2), "Syscall-stops")."""
        stop = self.wait()
        if stop.kind is not StopKind.SYSCALL:
            raise StubDied(self.give_up(f"expected the exit of a system call, got {stop}"))
        self.check_phase(lib.PTRACE_SYSCALL_INFO_EXIT)

    def check_phase(self, expected: int) -> None:
        """Check that a system call stop is the expected one: after a lost stop, results would be the wrong call's."""
        info = self.syscall_info()
        if info is not None and info[0] != expected:
            raise StubDied(self.give_up(f"expected a system call stop of kind {expected}, got kind {info[0]}"))

    def check_not_faulting(self) -> None:
        """Check that a stop is no fault of the stub's own code, which would come again for ever."""
        info = self.signal_info()
        if info.is_synchronous:
            self.registers()
            raise StubDied(self.give_up(f"the stub's own code raised signal {info.signo}, code {info.code}"))

    def check_not_condemned(self) -> None:
        """Check that a result equal to the call's number is no seccomp kill, which rolls the registers back.

        After SECCOMP_RET_KILL the exit stop shows the number as the result.  A SIGSYS in the thread's queue tells it
        from a success (Linux 6.1 and later; before, the thread is gone).
        """
        # struct ptrace_peeksiginfo_args: a 64-bit offset, 32-bit flags, a 32-bit count
        query = ffi.new("unsigned long[2]", [0, PENDING_SIGNALS << 32])
        infos = ffi.new("unsigned char[]", PENDING_SIGNALS * SIGINFO_SIZE)
        count = lib.tracee_request(lib.PTRACE_PEEKSIGINFO, self.tid, int(ffi.cast("unsigned long", query)), infos)
        for i in range(max(count, 0)):
            info = decode_siginfo(bytes(ffi.buffer(infos + i * SIGINFO_SIZE, SIGINFO_SIZE)))
            if info.code == SYS_SECCOMP and info.is_synchronous:
                words, dump = self.last_words()
                cause = Cause(Death.SECCOMP, signo=info.signo, registers=words, dump=dump)
                raise StubDied(self.stub.bury(cause))

    def give_up(self, why: str) -> Cause:
        """End a stub that misbehaves."""
        words, dump = self.last_words()
        return self.stub.bury(Cause(Death.BROKEN, registers=words, dump=f"{why}\n{dump}"))
