"""The platform contract: the types that platforms implement and scenarios use.

A **platform** runs guest code in **address spaces**.  Each address space has a host process of its own, the **stub**.
A **context** is one guest thread: `switch` runs it in an address space until it makes a system call, raises a signal,
is interrupted, or its stub dies.  The outcome is an **event**, a frozen value.

This module uses the standard library only.  The vocabulary is gVisor's (`pkg/sentry/platform`), whose ptrace platform
is one implementation.

Units: addresses, lengths and file offsets are in bytes, register values are unsigned 64-bit integers.

Errors
------
The behaviour of a guest is never an error, but an event.  A wrong call, or a refusal of the host, raises a
`PlatformError`:

====================  ===============================================================================================
`Unavailable`         the platform cannot start here; the message has the reason and the remedy
`StubDied`            the stub of an address space is gone (`switch` returns `Died` instead)
`BadAddress`          an address range that overflows, is unaligned, lies outside of the guest's range or touches the
                      stub
`HostError`           the host's kernel refused an operation; carries its errno
`WrongThread`         a resident context that another living thread switched last (see `Context.pull`), or any object in
                      a process that ``os.fork`` made
`Released`            an address space after its `release`, or any object of a platform after `Platform.close`
`Busy`                a context that another thread is switching or pulling now, or an address space that is to be
                      released while a guest runs in it
====================  ===============================================================================================

Threads
-------
====================  ===============================================================================================
`Platform`            any thread, any number at once
`AddressSpace`        any thread, any number at once, also while guests run in it
`Context.switch`      any thread, one at a time: a second one gets `Busy`, at once
`Context.interrupt`   any thread, at any time, also a signal handler
`Context.pull`        the thread that last switched the context, or any after that thread has ended
`State`               one thread at a time; while a switch runs, its context's
====================  ===============================================================================================

A signal handler that runs in the midst of an operation may call `Context.interrupt`, and may raise.  It must make no
other call of that platform, which may wait for what the operation holds.

An address space that is dropped without `release` keeps its stub until `Platform.close`.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, runtime_checkable

from worldswitch.harness.arch import registers
from worldswitch.harness.flight import Recorder


class Access(enum.IntFlag):
    """Allowed or attempted accesses to guest memory; the values are mmap(2)'s PROT_*."""

    NONE = 0
    READ = 1
    WRITE = 2
    EXECUTE = 4


class Abi(enum.Enum):
    """The entry point of a guest's system call, which decides the meaning of its number and arguments."""

    NATIVE = "native"  #: the architecture's own system call instruction, from 64-bit code
    INT80 = "int80"  #: x86: ``int $0x80`` from 64-bit code; the i386 table
    COMPAT = "compat"  #: x86: any entry from a 32-bit code segment; the i386 table


# ---------------------------------------------------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class Syscall:
    """The guest made a system call, which did not reach the host.

    `number` is the full 64-bit value that the guest loaded, unsigned.  The arguments are in the state's registers
    (`State.arguments`).  The caller stores the result in `State.result` and switches again.
    """

    number: int
    abi: Abi = Abi.NATIVE


@dataclass(frozen=True, slots=True)
class Signal:
    """An instruction of the guest raised a signal: `signo` and `code` as in siginfo_t, `address` its si_addr or 0."""

    signo: int
    code: int
    address: int = 0


@dataclass(frozen=True, slots=True)
class Fault:
    """The guest accessed memory that it may not access: SIGSEGV or SIGBUS with a valid address.

    `address` is the first byte that could not be accessed, not rounded.  `access` is the attempted access as far as the
    platform can tell: a platform that cannot tell a write from a read reports READ first and WRITE if the same fault
    comes again.  A fault without an address, such as a general protection fault or an unaligned access where the guest
    asked for alignment checks, is a `Signal`.
    """

    signo: int
    code: int
    address: int
    access: Access


@dataclass(frozen=True, slots=True)
class Interrupted:
    """`Context.interrupt` ended the switch, or prevented it; the state is complete and the guest can go on from it."""


class Death(enum.Enum):
    """How a stub ended."""

    #: By a signal from outside that is fatal: SIGKILL, of kill(2) or the OOM killer; SIGILL, SIGTRAP, SIGBUS, SIGFPE,
    #: SIGSEGV or SIGSYS that kill(2) sends to the *thread* id of an idle thread.  All others end no stub.
    SIGNALED = "signaled"
    SECCOMP = "seccomp"  #: by a seccomp filter, over a system call the platform injected or a guest that got loose
    EXITED = "exited"  #: it called exit
    TRACER_VANISHED = "tracer vanished"  #: a tracing thread ended without handing its tracees back
    BROKEN = "broken"  #: the platform ended it: the stub's own code faulted or misbehaved
    CLOSED = "closed"  #: the platform was closed


@dataclass(frozen=True, slots=True)
class Cause:
    """The cause of a stub's death.

    `signo` is set for SIGNALED, SECCOMP and possibly TRACER_VANISHED, `status` (0-255) for EXITED.  `registers` are the
    last ones known, as ``user_regs_struct`` bytes (see `worldswitch.harness.arch`), or None.  They and `dump`, a text
    for people, are ignored in comparisons.
    """

    death: Death
    signo: int = 0
    status: int = 0
    registers: bytes | None = field(default=None, compare=False, repr=False)
    dump: str = field(default="", compare=False, repr=False)

    def __str__(self) -> str:
        if self.death is Death.SIGNALED:
            return f"killed by signal {self.signo}"
        if self.death is Death.SECCOMP:
            return "killed by its seccomp filter"
        if self.death is Death.EXITED:
            return f"exited with status {self.status}"
        return str(self.death.value)


@dataclass(frozen=True, slots=True)
class Died:
    """The stub is gone; every further switch in this address space returns the same cause."""

    cause: Cause


Event: TypeAlias = Syscall | Signal | Fault | Interrupted | Died


# ---------------------------------------------------------------------------------------------------------- errors


class PlatformError(Exception):
    """Base class of the errors in this contract."""


class Unavailable(PlatformError):
    """The platform cannot start here.

    `reason` says what was tried and what the system answered, `remedy` what to do about it (may be empty).
    """

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(f"{reason}; {remedy}" if remedy else reason)
        self.reason = reason
        self.remedy = remedy


class StubDied(PlatformError):
    """The stub of an address space is gone, for good; `cause` says why."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(f"the stub {cause}" + (f"\n{cause.dump}" if cause.dump else ""))
        self.cause = cause


class BadAddress(PlatformError, ValueError):
    """An address range that a guest cannot have; raised before anything is changed."""


class HostError(PlatformError, OSError):
    """The host's kernel refused an operation; `errno` is its answer, `operation` the request."""

    def __init__(self, errno: int, operation: str) -> None:
        super().__init__(errno, f"{operation}: {os.strerror(errno)}")
        self.operation = operation


class WrongThread(PlatformError):
    """Used from a thread, or a forked process, that does not own the object; raised before any system call."""


class Released(PlatformError):
    """Used after `AddressSpace.release` or `Platform.close`; final."""


class Busy(PlatformError):
    """In use by another thread now; raised at once, without waiting.  The call may be repeated later."""


# ----------------------------------------------------------------------------------------------------------- state


class State:
    """The registers of one guest thread.

    `registers` is the kernel's ``user_regs_struct``: a bytearray of 8-byte words, in the kernel's order and the
    machine's byte order.  `words` is the same memory as unsigned integers, indexed by the numbers in
    `worldswitch.harness.arch.registers`.  Platforms keep pointers to both: change their contents, never replace them.

    Whatever a guest's own instructions put into its registers can be loaded again, on any thread and in any address
    space, even if the kernel refuses it from a tracer (x86: segment bases in the kernel's half of the addresses).  The
    segment selectors are the platform's: a state shows those that the guest had, and a switch does not load them.

    The extended state (x87, SSE, AVX ...) is an XSAVE image in the standard format, as PTRACE_GETREGSET returns it for
    NT_X86_XSTATE.  Its size depends on the machine and is the same for all states of a platform (`Platform.new_state`).
    Read it through `xstate`, and replace it by `write_xstate`, which is how a platform learns that it changed.
    `xstate_version` counts these changes.
    """

    __slots__ = ("_xstate", "registers", "words", "xstate_version")

    def __init__(self, xstate: bytes) -> None:
        self.registers = bytearray(registers.SIZE)
        self.words = memoryview(self.registers).cast("Q")
        self._xstate = bytearray(xstate)
        self.xstate_version = 0
        for name, value in registers.INITIAL.items():
            self[name] = value

    def __getitem__(self, name: str) -> int:
        """The register called `name` in user_regs_struct, unsigned; an assigned value is cut to 64 bits."""
        return self.words[registers.INDEX[name]]

    def __setitem__(self, name: str, value: int) -> None:
        self.words[registers.INDEX[name]] = value & 0xFFFF_FFFF_FFFF_FFFF

    @property
    def xstate(self) -> memoryview:
        """The extended state, as a read-only view of live memory: copy what must survive the next switch."""
        return memoryview(self._xstate).toreadonly()

    @property
    def xstate_buffer(self) -> bytearray:
        """The extended state's memory, for platforms to store the hardware's in; callers use `write_xstate`."""
        return self._xstate

    def write_xstate(self, image: bytes | memoryview) -> None:
        """Replace the extended state.  Raises `ValueError` unless `image` has the size of the present one."""
        if len(image) != len(self._xstate):
            raise ValueError(f"an extended state of {len(image)} bytes where this machine's has {len(self._xstate)}")
        self._xstate[:] = image
        self.xstate_version += 1

    @property
    def arguments(self) -> tuple[int, ...]:
        """The six arguments of the system call that ended the last switch, in order, by the native convention."""
        return tuple(self.words[i] for i in registers.ARGUMENTS)

    @property
    def result(self) -> int:
        """The register that a system call's result goes to, unsigned; an assigned -errno is cut to 64 bits."""
        return self.words[registers.RESULT]

    @result.setter
    def result(self, value: int) -> None:
        self.words[registers.RESULT] = value & 0xFFFF_FFFF_FFFF_FFFF

    @property
    def pc(self) -> int:
        """The program counter."""
        return self.words[registers.PC]

    @pc.setter
    def pc(self, value: int) -> None:
        self.words[registers.PC] = value

    @property
    def sp(self) -> int:
        """The stack pointer."""
        return self.words[registers.SP]

    @sp.setter
    def sp(self, value: int) -> None:
        self.words[registers.SP] = value


# ------------------------------------------------------------------------------------------------------- interface


class Placement(enum.Enum):
    """The CPU of a stub thread, relative to the thread that traces it."""

    FOLLOW = "follow"  #: on the CPU its tracer is on at each switch
    PIN = "pin"  #: both on one CPU, chosen when the tracing thread first switches, until the platform is closed
    FREE = "free"  #: wherever the scheduler puts it


class DeathPolicy(enum.Enum):
    """The consequences of a stub's death."""

    SUBPROCESS = "subprocess"  #: only its address space is lost; its users get a typed event or error
    PLATFORM = "platform"  #: the whole process that holds the platform, by SIGKILL (the seed's policy)


@dataclass(frozen=True, slots=True)
class Options:
    """The settings of a platform.  All but the first four and the last are for `Inspectable` platforms."""

    placement: Placement = Placement.FOLLOW
    death_policy: DeathPolicy = DeathPolicy.SUBPROCESS
    pool_limit: int = 16  #: how many released stubs are kept for reuse
    #: True: the guest's CPUID instruction raises a general protection fault, for the caller to emulate, and the
    #: platform is `Unavailable` on a processor or kernel that cannot do that.  False: guests see the host's processor.
    cpuid_faults: bool = False
    #: False: leave PTRACE_O_EXITKILL off the threads that run guests.  A guest whose tracer vanishes then gets loose:
    #: it runs untraced until the platform finds that.  It reaches nothing of the host, from its own or the stub's code.
    exit_kill: bool = True
    #: System call numbers that `inject` may make besides the platform's own, which are among mmap, munmap, getpid,
    #: pause, restart_syscall and the clone of a thread.  A guest that got loose may make them from the stub's code.
    injectable: tuple[int, ...] = ()
    #: False: guests are never ahead of other processes: stubs have no real-time or deadline policy and no negative
    #: nice value, whatever the thread that makes the platform has.  True: they keep what it has, so that a guest that
    #: computes can take a CPU from all other processes for ever.
    keep_priority: bool = False
    #: Where to record each ptrace request and stop, to explain a failure; a platform may ignore it.
    recorder: Recorder | None = field(default=None, compare=False, repr=False)


class AddressSpace(Protocol):
    """One guest address space.  Any thread may use it, also while guests run in it.

    After `release`, every use raises `Released`; after `Platform.close`, too.  In a forked process every use raises
    `WrongThread`.
    """

    def map_file(
        self, address: int, file: int, offset: int, length: int, access: Access, precommit: bool = False
    ) -> None:
        """Map `length` bytes of the file descriptor `file` from `offset` at `address`, shared, replacing what is there.

        `address` must be page-aligned (else `BadAddress`).  `length` must be positive (else `BadAddress`) and is
        rounded up to whole pages.  The whole range must lie within `Platform.address_range`.  `offset` must be
        page-aligned (else `HostError` with EINVAL) and below 2^63 (else EOVERFLOW).  The descriptor must be open (else
        EBADF); it may be closed after the call, and the mapping remains.

        With `precommit` the pages are resident when the call returns.  A running guest sees the change at once.

        Raises `BadAddress`, `HostError` (with the errno of mmap), `StubDied`, `Released`.  Nothing is changed by
        `BadAddress`.  Seed: subprocess.MapFile.
        """

    def unmap(self, address: int, length: int) -> None:
        """Unmap every page in the range; pages that are not mapped are no error.

        `address` and `length` are as in `map_file`, but the range may begin below `Platform.address_range`.

        Raises `BadAddress`, `HostError` (with the errno of munmap), `StubDied`, `Released`.  Seed: subprocess.Unmap.
        """

    def release(self, *, wait: bool = True) -> None:
        """Give the address space back and remove all its mappings.

        With `wait` the mappings are gone when the call returns; without, that happens in the background and its errors
        are dropped.  A dead stub can be released like a living one.

        Raises `Busy` while a guest runs in it, and then changes nothing; `Released` the second time; `HostError` if the
        kernel refused to remove a mapping, and the address space is released all the same.  Seed: subprocess.Release.
        """


class Context(Protocol):
    """One guest thread."""

    def switch(self, address_space: AddressSpace, state: State) -> Event:
        """Run the guest from `state` until an event; afterwards `state` is where it stopped.

        An event is returned once: the next switch goes on from the state.  If a signal handler's exception ends the
        switch, the guest is stopped, `state` is whole, and its event, if there was one, is returned by the next switch.

        Returns `Died` if the stub is or gets dead.  Raises `Released` if the address space or the platform is closed;
        `Busy` if another thread switches this context; `WrongThread` if it is resident and another living thread
        switched it last; `HostError` for registers that the kernel refuses, and the guest did not run then;
        `TypeError` for an address space of another platform and `ValueError` for a state of another machine.
        Seed: subprocess.switchToApp.
        """

    def interrupt(self) -> None:
        """End the running switch, or the next one if none runs, with `Interrupted`.

        Any thread, or a signal handler, may call it; it never blocks.  Several interrupts before a switch returns count
        as one.  If the switch ends by another event, the interrupt ends the next one.  After `Platform.close`, and for
        a dead stub, it does nothing.  Raises `WrongThread` in a forked process, and nothing else.

        Seed: interrupt.Forwarder.NotifyInterrupt.
        """

    def pull(self) -> None:
        """Store a resident context's extended state in its last `State`; does nothing for other contexts.

        Only the thread that last switched the context may call it while that thread lives (else `WrongThread`).
        Afterwards any thread may switch the context.  Raises `Busy` while another thread switches it.
        """


class Platform(Protocol):
    """Runs guests.  Constructed with one argument, `Options`; the constructor raises `Unavailable`.

    Any thread may use it.  After `close`, `new_address_space` and `new_context` raise `Released`; in a forked process
    they and `close` raise `WrongThread`.
    """

    @property
    def address_range(self) -> tuple[int, int]:
        """The guest's addresses: the lowest that may be mapped, and the end (exclusive) of the highest.

        Both are page-aligned.  The stub's own page lies outside.
        """

    def new_address_space(self) -> AddressSpace:
        """An empty address space.  Raises `HostError`, `StubDied`, `Released`."""

    def new_context(self, *, resident: bool = False) -> Context:
        """A context.  Raises `Released`.

        A `resident` one leaves its extended state in the stub thread after a switch, which is faster; `State.xstate` is
        out of date until `pull`.
        """

    def new_state(self) -> State:
        """The state of a fresh thread: registers zero but for the initial flags, the extended state initial."""

    def close(self) -> None:
        """End every stub and wait until they are gone.  Idempotent, also for threads that call it at once.

        A switch under way in another thread either returns `Died` or raises `Released`.  Raises `WrongThread` in a
        forked process.
        """


@dataclass(frozen=True, slots=True)
class Stub:
    """The host process of an address space, as it was when asked.

    It is no more than the process that made it, and its end leaves no core dump.  It has no timer and cannot gain
    privileges by executing a file.  What the operator set for that process applies to it, too: resource limits (but for
    core dumps), I/O priority, oom_score_adj, umask, timer slack, the setting of huge pages, MDWE, whether it is
    dumpable, what a dump has, securebits, and the session keyring.
    """

    pid: int  #: thread group id
    tids: tuple[int, ...]  #: all its threads now, the group leader first
    begin: int  #: the first address of the stub's own code, which no guest may map
    end: int  #: the end (exclusive) of it


@runtime_checkable
class Inspectable(Protocol):
    """An `AddressSpace` that white-box scenarios can look into; without it, these scenarios are `unsupported`."""

    def inject(self, number: int, *arguments: int) -> int:
        """Make a system call in the stub; returns its result, which is no error.

        The arguments are cut to 64 bits; those not given are 0.  Raises `HostError` with the call's errno, `StubDied`
        (also if the stub's filter forbids the call; see `Options.injectable`), `Released`.
        """

    @property
    def stub(self) -> Stub:
        """The host process.  A dead stub still has its pid, but no threads once it is reaped.  Raises `Released`."""


PlatformFactory: TypeAlias = Callable[[Options], Platform]
"""The object that `--platform` names: usually the platform's class."""
