"""One traced stub thread: attach to it, have it make a system call, let go of it.

Every operation belongs to the thread that attached.  A tracee is for guests or for injected calls and never changes:
after a PTRACE_SYSEMU stop, PTRACE_SYSCALL first reports the *exit* of the skipped call, and each later injection would
read the result before its own (facts of the kernel: the decision to skip is latched at entry).
"""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING, Any

from worldswitch.harness.contract import Cause, Death, HostError, StubDied
from worldswitch.reference import x86_64
from worldswitch.reference._core import ffi, lib
from worldswitch.reference.owners import thread_stat
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

if TYPE_CHECKING:
    from worldswitch.reference.context import PtraceContext
    from worldswitch.reference.extended_state import ExtendedState
    from worldswitch.reference.stubprocess import StubProcess

#: A result that says "interrupted, do it again" (include/linux/errno.h; user space never sees them).
ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND = 512, 513, 514
ERESTART_RESTARTBLOCK = 516

#: Results up to this are negated errnos (include/linux/err.h: MAX_ERRNO).
MAX_ERRNO = 4095

NULL = ffi.NULL


class Tracee:
    """One stub thread."""

    #: The call is simply made again.
    RESTARTED = frozenset((ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND))

    def __init__(self, stub: StubProcess, tid: int) -> None:
        self.stub = stub
        self.tid = tid
        self.handle = lib.tracee_new(stub.pid, tid)
        if self.handle == NULL:
            raise MemoryError("no memory for a tracee")
        self.handle.park = stub.page.park
        stub.segments_to(self.handle)
        #: Which context last began a switch here.
        self.runner: PtraceContext | None = None
        #: Whose extended state the thread holds.
        self.user: ExtendedState | None = None
        #: Memory that a resident context's extended state goes to when the thread ends.
        self.kept: Any = None
        self._registers = ffi.new("struct registers *")

    def __del__(self) -> None:
        if getattr(self, "handle", NULL) != NULL and self.stub.is_ours:
            lib.tracee_drop(self.handle)

    # ------------------------------------------------------------------------------------------------ attaching

    def claim(self) -> bool:
        """Become the one that may attach; False if the thread is not waiting in the stub."""
        return bool(lib.tracee_claim(self.handle))

    def attach(self, options: int) -> None:
        """Trace it, from this thread, and stop it.  Raises `StubDied`, and `HostError` if somebody else traces it.

        A signal handler of Python's may raise at any step of it: then the same thread does it again.
        """
        status = ffi.new("int *")
        while (rc := lib.tracee_attach(self.handle, options, status)) == -errno.EINTR:
            pass
        if rc in (-errno.ESRCH, -errno.ECHILD) or (rc == -errno.EPERM and self._has_ended()):
            raise StubDied(self.gone())
        if rc in (-errno.EAGAIN, -errno.ENOMEM):
            raise HostError(-rc, "registering the end of this thread, at which its tracees are parked (a pthread key)")
        if rc < 0:
            raise HostError(-rc, f"attaching to thread {self.tid} of stub {self.stub.pid}")
        if status[0] != 0 and decode(status[0]).kind is StopKind.DEATH:
            raise StubDied(self.gone_with(status[0]))
        self.user = None
        self.block_signals(0)

    def _has_ended(self) -> bool:
        """Whether it is dead: between a thread's end and its being gone, attaching is EPERM (kernel/ptrace.c).

        What /proc does not show may be there all the same, for want of a descriptor to look with.
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

        A parked thread has all signals blocked, or any that a stranger sends would kill the stub; a traced one none,
        or its tracer would not see them.
        """
        self.request(lib.PTRACE_SETSIGMASK, 8, ffi.new("unsigned long *", mask))

    def admit(self, admission: Any) -> None:
        """Let this admission, and no other, switch it from now on."""
        admission.tracee = self.handle
        lib.tracee_admit(self.handle, admission)

    def park(self) -> None:
        """Send it back to the stub's waiting place and let go of it.  Raises `StubDied`."""
        if lib.tracee_park(self.handle) < 0:
            raise StubDied(self.gone())

    # --------------------------------------------------------------------------------------------- ptrace, waiting

    def request(self, request: int, address: int = 0, data: Any = 0) -> int:
        """One ptrace request.  Raises `StubDied`, and OSError for what the kernel refuses to a living tracee."""
        if isinstance(data, int):
            data = ffi.cast("void *", data)
        result: int = lib.tracee_request(request, self.tid, address, data)
        if result == -errno.ESRCH:
            raise StubDied(self.gone())
        if result < 0:
            raise OSError(-result, f"ptrace request {request:#x}: {os.strerror(-result)}")
        return result

    def wait(self) -> Stop:
        """Wait for its next stop.  Raises `StubDied`."""
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
        """The kernel does not know it (any more): find out why, and see the whole stub buried.

        ESRCH alone can mean that it is just dying.  A SIGKILL changes nothing about why, and bounds the wait.
        """
        if self.stub.cause is not None:
            return self.stub.cause
        self.stub.kill()
        status = ffi.new("int *")
        while lib.tracee_wait(self.tid, WALL, status) == self.tid and os.WIFSTOPPED(status[0]):
            status[0] = 0
        return self.gone_with(status[0])

    def gone_with(self, status: int) -> Cause:
        """See the whole stub buried for its last wait status, or for 0 where a wait found none."""
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
        """Whether a system call stop is an entry or an exit, and of which architecture; None before Linux 5.3."""
        info = ffi.new("unsigned char[]", 96)
        try:
            self.request(lib.PTRACE_GET_SYSCALL_INFO, 96, info)
        except OSError:
            return None
        return decode_syscall_info(bytes(ffi.buffer(info)))

    def registers(self) -> Any:
        """Its registers, read from the kernel, which takes them whatever mode the thread is in (GETREGSET does not)."""
        self.request(lib.PTRACE_GETREGS, 0, self._registers)
        return self._registers

    def read_xstate(self, target: Any) -> None:
        """Read its extended state to memory.  Raises `StubDied`: what cannot be read is lost."""
        rc = lib.tracee_read_xstate(self.handle, target)
        if rc == -errno.ESRCH:
            raise StubDied(self.gone())
        if rc < 0:
            raise StubDied(self.give_up(f"PTRACE_GETREGSET of the extended state: {os.strerror(-rc)}"))

    def last_words(self) -> tuple[bytes, str]:
        """The last registers known of it, and a text of them for people."""
        raw = bytes(ffi.buffer(ffi.addressof(self.handle.shadow) if self.handle.shadow_valid else self._registers))
        return raw, x86_64.dump(raw, self.stub.page)

    # --------------------------------------------------------------------------------------------------- injection

    def call(self, number: int, *arguments: int) -> int:
        """Have it make a system call; the raw result (a negated errno for a failure).

        Raises `StubDied`, also when the stub's own code faults or its filter forbids the call.
        Seed: syscallIgnoreInterrupt.
        """
        result = self.call_once(number, *arguments)
        while True:
            if -result in self.RESTARTED:
                result = self.call_once(number, *arguments)
            elif -result == ERESTART_RESTARTBLOCK:
                # The kernel keeps what remains of a sleep or a poll in the thread; only this call reads it.
                result = self.call_once(lib.SYS_restart_syscall)
            else:
                return result

    def call_once(self, number: int, *arguments: int) -> int:
        """One system call, entry to exit, whatever stops come before it.  Seed: thread.syscall."""
        try:
            x86_64.set_call(self._registers, self.handle.segments, self.stub.page.call, number, arguments)
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
            # A KeyboardInterrupt, say: nobody knows where in the call the thread is now.
            self.give_up(f"{type(error).__name__} in the middle of an injected call")
            raise

    def reach_entry(self) -> None:
        """Run to the system call's entry, past every stop that others cause."""
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
            raise StubDied(self.give_up(f"{stop} came where a system call's exit has to"))
        self.check_phase(lib.PTRACE_SYSCALL_INFO_EXIT)

    def check_phase(self, expected: int) -> None:
        """A lost or doubled stop would make every later result the wrong call's."""
        info = self.syscall_info()
        if info is not None and info[0] != expected:
            raise StubDied(self.give_up(f"a system call stop of kind {info[0]} came in place of {expected}"))

    def check_not_faulting(self) -> None:
        """A fault in the stub's own code would come again for ever; other signals are not for the stub."""
        info = self.signal_info()
        if info.is_synchronous:
            self.registers()
            raise StubDied(self.give_up(f"its own code took signal {info.signo}, code {info.code}"))

    def check_not_condemned(self) -> None:
        """A seccomp filter's SECCOMP_RET_KILL rolls the registers back: the call's exit shows its number as its result.

        What tells it from a success is the SIGSYS that waits in the thread's queue (Linux 6.1 and later; before, the
        thread is simply gone).
        """
        query = ffi.new("unsigned long[2]", [0, 8 << 32])  # struct ptrace_peeksiginfo_args: offset, flags, count
        infos = ffi.new("unsigned char[]", 8 * SIGINFO_SIZE)
        count = lib.tracee_request(lib.PTRACE_PEEKSIGINFO, self.tid, int(ffi.cast("unsigned long", query)), infos)
        for i in range(max(count, 0)):
            info = decode_siginfo(bytes(ffi.buffer(infos + i * SIGINFO_SIZE, SIGINFO_SIZE)))
            if info.code == SYS_SECCOMP and info.is_synchronous:
                words, dump = self.last_words()
                cause = Cause(Death.SECCOMP, signo=info.signo, registers=words, dump=dump)
                raise StubDied(self.stub.bury(cause))

    def give_up(self, why: str) -> Cause:
        """The stub misbehaves: end it."""
        words, dump = self.last_words()
        return self.stub.bury(Cause(Death.BROKEN, registers=words, dump=f"{why}\n{dump}"))
