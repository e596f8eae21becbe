"""Raw tracing for the facts about the kernel: a child process, ptrace requests by name, bounded waits.

    with raw_ptrace.tracee(guests.syscall_once.code, rax=39) as tracee:
        tracee.go("SYSEMU")                     # PTRACE_SYSEMU, then wait: "SIGTRAP|0x80"
        tracee.registers()["orig_rax"]
        tracee.call(lib.SYS_getpid)             # make the tracee call getpid

The process is a sleeping raw fork of this one.  It shares only the **arena** with us: pages at the same address in both
processes with code, data and stacks, so that nothing needs PTRACE_POKEDATA.  No platform is involved.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from worldswitch.harness.arch import registers
from worldswitch.harness.verdict import in_time
from worldswitch.scenarios.raw_ptrace._raw_ptrace import ffi
from worldswitch.scenarios.raw_ptrace._raw_ptrace import lib as lib
from worldswitch.scenarios.raw_ptrace.arena import Arena
from worldswitch.scenarios.raw_ptrace.words import answer as answer
from worldswitch.scenarios.raw_ptrace.words import code_name as code_name
from worldswitch.scenarios.raw_ptrace.words import signal_name as signal_name
from worldswitch.scenarios.raw_ptrace.words import status_words
from worldswitch.scenarios.stage.processes import mappings_of as mappings_of
from worldswitch.scenarios.stage.processes import process_state as process_state
from worldswitch.scenarios.stage.processes import status_of as status_of

#: Upper bound in seconds for anything that must happen, on a busy machine too.
BOUND = 30.0
#: How many seconds to check that something does not happen.
A_WHILE = 0.02

OPTIONS = lib.PTRACE_O_TRACESYSGOOD | lib.PTRACE_O_EXITKILL
A_THREAD = lib.CLONE_VM | lib.CLONE_FS | lib.CLONE_FILES | lib.CLONE_SIGHAND | lib.CLONE_THREAD | lib.CLONE_SYSVSEM


class Refused(OSError):
    """The kernel refused a request."""


def system_call(number: int, *arguments: int) -> int:
    """Make a system call in this process; the result, or -errno."""
    return int(lib.system_call(number, *(*arguments, 0, 0, 0, 0, 0, 0)[:6]))


def until(condition: Callable[[], bool], seconds: float = BOUND) -> bool:
    """Whether `condition` becomes true in time."""
    end = time.monotonic() + seconds
    looks = 0
    while not condition():
        if time.monotonic() > end:
            return False
        looks += 1
        os.sched_yield() if looks < 200 else time.sleep(0.0005)
    return True


def address_of(buffer: bytearray) -> int:
    """The address of `buffer`, as an argument of a system call."""
    return int(ffi.cast("uintptr_t", ffi.from_buffer(buffer)))


def wait_status(tid: int, seconds: float = BOUND, flags: int = 0) -> int | None:
    """The wait status of `tid`, or None if there is none in time; raises ChildProcessError if it is no child."""
    found: list[int] = []

    def look() -> bool:
        pid, status = os.waitpid(tid, os.WNOHANG | lib.__WALL | flags)
        found.extend([status] if pid else [])
        return bool(pid)

    return found[0] if until(look, seconds) else None


@dataclass(frozen=True, slots=True)
class Siginfo:
    """The first fields of a siginfo_t."""

    signo: int
    code: int
    pid: int  #: or another member of the union
    uid: int
    value: int
    address: int

    def __str__(self) -> str:
        return f"{signal_name(self.signo)} {code_name(self.code)}"


@dataclass(eq=False)
class Thread:
    """One traced thread; only the thread that attached it may use it."""

    tid: int
    process: Process

    # --------------------------------------------------------------------------------------------------------- requests

    def says(self, request: str, address: int = 0, data: int = 0) -> str:
        """The kernel's answer to ``PTRACE_<request>``: ``0``, a number or an error's name."""
        return answer(system_call(lib.SYS_ptrace, getattr(lib, f"PTRACE_{request}"), self.tid, address, data))

    def ask(self, request: str, address: int = 0, data: int = 0) -> int:
        """The same for a request that must succeed; the number."""
        said = self.says(request, address, data)
        if not said.isdigit():
            raise Refused(0, f"PTRACE_{request} said {said}")
        return int(said)

    def go(self, request: str, signo: int = 0) -> str:
        """Resume by `request`, and wait; the next stop or the end."""
        self.ask(request, 0, signo)
        return self.wait()

    def wait(self, flags: int = 0) -> str:
        """Wait for the next stop or the end."""
        status = wait_status(self.tid, flags=flags)
        assert status is not None, f"waited {BOUND:g} s for a tracee that is in state {self.state}"
        return status_words(status)

    def silent(self, seconds: float = A_WHILE) -> bool:
        """Whether wait(2) reports nothing for a while."""
        return wait_status(self.tid, seconds) is None

    @property
    def state(self) -> str | None:
        """The state letter in /proc."""
        return process_state(self.tid)

    def becomes(self, states: str) -> bool:
        """Whether it reaches one of these states in time."""
        return until(lambda: (self.state or "") in states)

    def send(self, signo: int) -> None:
        """Send the thread a signal."""
        system_call(lib.SYS_tgkill, self.process.pid, self.tid, signo)

    # -------------------------------------------------------------------------------------------------------- registers

    def registers(self) -> dict[str, int]:
        """All registers, by name."""
        buffer = bytearray(registers.SIZE)
        self.ask("GETREGS", 0, address_of(buffer))
        return dict(zip(registers.NAMES, struct.unpack(f"<{len(registers.NAMES)}Q", buffer), strict=True))

    def set_registers(self, **changes: int) -> str:
        """Change some registers; the answer of PTRACE_SETREGS."""
        values = self.registers() | changes
        buffer = bytearray(struct.pack(f"<{len(values)}Q", *(value % 2**64 for value in values.values())))
        return self.says("SETREGS", 0, address_of(buffer))

    def register(self, name: str) -> int:
        """One register, as a signed number."""
        return int(ctypes.c_int64(self.registers()[name]).value)

    def regset(self, kind: int, size: int = 1 << 15) -> tuple[str, bytes]:
        """The answer of PTRACE_GETREGSET, and the registers it returned."""
        buffer = bytearray(size)
        vector = bytearray(struct.pack("<QQ", address_of(buffer), size))
        said = self.says("GETREGSET", kind, address_of(vector))
        return said, bytes(buffer[: struct.unpack("<QQ", vector)[1]]) if said == "0" else b""

    def set_regset(self, kind: int, contents: bytes) -> str:
        """The answer of PTRACE_SETREGSET to `contents`."""
        buffer = bytearray(contents)
        vector = bytearray(struct.pack("<QQ", address_of(buffer), len(buffer)))
        return self.says("SETREGSET", kind, address_of(vector))

    # ----------------------------------------------------------------------------------------------------- what it says

    def siginfo(self) -> Siginfo | None:
        """The signal of the stop; None where PTRACE_GETSIGINFO gives EINVAL, as at a group-stop."""
        buffer = bytearray(128)
        said = self.says("GETSIGINFO", 0, address_of(buffer))
        if said == "EINVAL":
            return None
        if said != "0":
            raise Refused(0, f"PTRACE_GETSIGINFO said {said}")
        signo, code, pid, uid, value = struct.unpack_from("<i4xi4xiIQ", buffer)
        return Siginfo(signo, code, pid, uid, value, struct.unpack_from("<Q", buffer, 16)[0])

    def message(self) -> int:
        """The message that PTRACE_GETEVENTMSG returns."""
        buffer = bytearray(8)
        self.ask("GETEVENTMSG", 0, address_of(buffer))
        return int(struct.unpack("<Q", buffer)[0])

    def call_information(self) -> str:
        """The phase in PTRACE_GET_SYSCALL_INFO: ``entry of 39 (x86-64)``, ``exit``, ``no system call``."""
        buffer = bytearray(128)
        if not self.says("GET_SYSCALL_INFO", len(buffer), address_of(buffer)).isdigit():
            return "no PTRACE_GET_SYSCALL_INFO"
        operation, architecture = struct.unpack_from("<B3xI", buffer)
        if operation == lib.PTRACE_SYSCALL_INFO_ENTRY:
            names = {lib.AUDIT_ARCH_X86_64: "x86-64", lib.AUDIT_ARCH_I386: "i386"}
            return f"entry of {struct.unpack_from('<Q', buffer, 24)[0]} ({names[architecture]})"
        return "exit" if operation == lib.PTRACE_SYSCALL_INFO_EXIT else "no system call"

    def reports(self) -> list[str]:
        """The pending signals, in the order in which they are reported; each is suppressed."""
        self.put(TRAP)
        said = []
        while (stop := self.go("CONT")) != "SIGTRAP":
            said.append(stop)
        return said

    # ---------------------------------------------------------------------------------------------------- making it act

    def put(self, code: bytes, **values: int) -> None:
        """Set the program counter to `code`, with a stack, the arena's data in rbx, and these registers."""
        place = self.process.arena.put(code)
        arena = self.process.arena
        start = {"rip": place, "orig_rax": -1, "rsp": arena.new_stack(), "rbx": arena.data, **values}
        if (said := self.set_registers(**start)) != "0":
            raise Refused(0, f"PTRACE_SETREGS said {said}")

    def enter(self, number: int, *arguments: int) -> str:
        """Run to the entry of a system call; the stop there."""
        names = ("rdi", "rsi", "rdx", "r10", "r8", "r9")
        values = dict(zip(names, (*arguments, 0, 0, 0, 0, 0, 0), strict=False))
        self.put(SYSCALL, rax=number, **values)
        return self.go("SYSCALL")

    def call(self, number: int, *arguments: int) -> int:
        """Make the tracee call the system, from a stop outside any system call; the kernel's result."""
        before = self.registers()
        assert (stop := self.enter(number, *arguments)) == "SIGTRAP|0x80", f"expected a system call's entry, got {stop}"
        assert (stop := self.go("SYSCALL")) == "SIGTRAP|0x80", f"expected a system call's exit, got {stop}"
        result = self.register("rax")
        self.set_registers(**before | {"orig_rax": -1})
        return result

    def clone(self, flags: int = A_THREAD) -> Thread:
        """Make it clone a thread or process, which is traced with the same options and begins with a stop."""
        tid = self.call(lib.SYS_clone, flags | lib.CLONE_PTRACE, self.process.arena.new_stack())
        if tid < 0:
            raise Refused(0, f"clone said {answer(tid)}")
        thread = Thread(tid, self.process if flags & lib.CLONE_THREAD else Process(tid, self.process.arena))
        self.process.remember(thread)
        return thread


TRAP = bytes.fromhex("cc")  #: int3
SYSCALL = bytes.fromhex("0f05 cc")  #: syscall; int3


@dataclass(eq=False)
class Process:
    """A child process, traced or not."""

    pid: int
    arena: Arena
    _below: list[Thread] = field(default_factory=list)

    def seize(self, options: int = OPTIONS) -> Thread:
        """Trace it by PTRACE_SEIZE."""
        thread = Thread(self.pid, self)
        thread.ask("SEIZE", 0, options)
        return thread

    def attach(self) -> Thread:
        """Trace it by PTRACE_ATTACH."""
        thread = Thread(self.pid, self)
        thread.ask("ATTACH")
        return thread

    def remember(self, thread: Thread) -> None:
        """End `thread` together with this process."""
        self._below.append(thread)

    def end(self) -> None:
        """Kill and reap it and everything it cloned."""
        for one in (*reversed(self._below), Thread(self.pid, self)):
            left = until(lambda one=one: _gone(one), BOUND)  # type: ignore[misc]
            in_time(left, f"SIGKILL did not end a tracee in state {one.state}")


def _gone(thread: Thread) -> bool:
    """Kill `thread`'s process; whether wait(2) has nothing left to report."""
    try:
        pid, status = os.waitpid(thread.tid, os.WNOHANG | lib.__WALL)
    except ChildProcessError:
        return True
    if pid and not os.WIFSTOPPED(status):
        return True
    with contextlib.suppress(ProcessLookupError):
        os.kill(thread.process.pid, signal.SIGKILL)
    thread.says("CONT")  # a stop at EVENT_EXIT, which SIGKILL does not end
    return False


@contextlib.contextmanager
def process(flags: int = signal.SIGCHLD, *, keep_rseq: bool = False) -> Iterator[Process]:
    """A sleeping, untraced child, killed at the end of the block; `flags` are clone's."""
    with contextlib.closing(Arena()) as arena:
        ready = ffi.cast("int *", arena.ready)
        pid = lib.process_start(flags, keep_rseq, ready)
        if pid < 0:
            raise Refused(-pid, f"clone({flags:#x}) said {answer(pid)}")
        made = Process(pid, arena)
        try:
            in_time(until(lambda: bool(ready[0])), "the child did not start in time")
            yield made
        finally:
            made.end()


@contextlib.contextmanager
def tracee(
    code: bytes = SYSCALL,
    *,
    options: int = OPTIONS,
    flags: int = signal.SIGCHLD,
    keep_rseq: bool = False,
    **values: int,
) -> Iterator[Thread]:
    """A child, seized and stopped before `code`, with these registers."""
    with process(flags, keep_rseq=keep_rseq) as made:
        thread = made.seize(options)
        thread.ask("INTERRUPT")
        assert (stop := thread.wait()) == "EVENT_STOP SIGTRAP", f"the first stop of a tracee was {stop}"
        thread.put(code, **values)
        yield thread
