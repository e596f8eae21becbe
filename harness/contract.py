"""What a ptrace platform is: the words that platforms implement and scenarios speak.

A **platform** runs guest code in **address spaces**.  An address space lives in a host process of its own, the
**stub**.  A **context** is one guest thread: `switch` runs it in an address space until it makes a system call, takes a
signal, is interrupted, or its stub dies; the outcome is an **event**, a frozen value.

Everything here stands on the standard library alone.  The vocabulary is gVisor's (`pkg/sentry/platform`), of which the
ptrace platform is one implementation.

Errors
------
What a guest does is never an error, it is an event.  What the caller asks wrongly, and what the host refuses, raises a
`PlatformError`:

====================  ===============================================================================================
`Unavailable`         the platform cannot start here; the reason and the remedy are in the message
`StubDied`            the stub behind an address space is gone (`switch` returns `Died` instead)
`BadAddress`          an address range that overflows, is unaligned, lies beyond the guest's range or touches the stub
`HostError`           the host's kernel refused an operation; carries its errno
`WrongThread`         a thread-bound thing used from another thread, or anything used after ``os.fork``
`Released`            an address space used after its release, or a platform after its close
`Busy`                one context switched by two threads at once, or an address space released while guests run in it
====================  ===============================================================================================
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
    """What may be done to guest memory, or what was tried; the values are mmap(2)'s PROT_*."""

    NONE = 0
    READ = 1
    WRITE = 2
    EXECUTE = 4


class Abi(enum.Enum):
    """Through which door a guest's system call came; the number and the arguments mean something else behind each."""

    NATIVE = "native"  #: the architecture's own system call instruction, from 64-bit code
    INT80 = "int80"  #: x86: ``int $0x80`` from 64-bit code; the i386 table
    COMPAT = "compat"  #: x86: any entry from a 32-bit code segment; the i386 table


# ---------------------------------------------------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class Syscall:
    """The guest made a system call, which did not reach the host.

    `number` is the full 64-bit value the guest loaded, as an unsigned integer.  The arguments stand in the state's
    registers (`State.arguments`); the caller puts the result where the architecture wants it (`State.result`).
    """

    number: int
    abi: Abi = Abi.NATIVE


@dataclass(frozen=True, slots=True)
class Signal:
    """The guest's own execution raised a signal: `signo` and `code` as in siginfo_t, `address` its si_addr (or 0)."""

    signo: int
    code: int
    address: int = 0


@dataclass(frozen=True, slots=True)
class Fault:
    """The guest touched memory it may not touch; `access` is what it tried, as far as the platform can tell.

    Only for SIGSEGV and SIGBUS whose address means something: a general protection fault is a `Signal`.
    """

    signo: int
    code: int
    address: int
    access: Access


@dataclass(frozen=True, slots=True)
class Interrupted:
    """`Context.interrupt` ended the switch, or something indistinguishable did; the guest's state is whole."""


class Death(enum.Enum):
    """How a stub ended."""

    SIGNALED = "signaled"  #: by a signal from outside: kill(2), the OOM killer
    SECCOMP = "seccomp"  #: by a seccomp filter, over a system call the platform injected or a guest that got loose
    EXITED = "exited"  #: it called exit
    TRACER_VANISHED = "tracer vanished"  #: a tracing thread ended without handing its tracees back
    BROKEN = "broken"  #: the platform gave it up: it faulted or misbehaved in the stub's own code
    CLOSED = "closed"  #: the platform was closed


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a stub died.

    `registers` (``user_regs_struct`` bytes, see `worldswitch.harness.arch`) are the last ones known, or None.  They and
    `dump`, a text for people, take no part in comparisons.
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
    """The stub is gone; every further switch in this address space says the same."""

    cause: Cause


Event: TypeAlias = Syscall | Signal | Fault | Interrupted | Died


# ---------------------------------------------------------------------------------------------------------- errors


class PlatformError(Exception):
    """Base of everything a platform raises on purpose."""


class Unavailable(PlatformError):
    """The platform cannot start here.  `reason` says what was tried and what the system said, `remedy` what to do."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(f"{reason}; {remedy}" if remedy else reason)
        self.reason = reason
        self.remedy = remedy


class StubDied(PlatformError):
    """The stub behind an address space is gone."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(f"the stub {cause}" + (f"\n{cause.dump}" if cause.dump else ""))
        self.cause = cause


class BadAddress(PlatformError, ValueError):
    """An address range the guest cannot have; nothing was changed."""


class HostError(PlatformError, OSError):
    """The host's kernel refused an operation; `errno` is its answer, `operation` what was asked."""

    def __init__(self, errno: int, operation: str) -> None:
        super().__init__(errno, f"{operation}: {os.strerror(errno)}")
        self.operation = operation


class WrongThread(PlatformError):
    """Used from a thread (or a forked process) that does not own it; refused before any system call."""


class Released(PlatformError):
    """Used after `AddressSpace.release` or `Platform.close`."""


class Busy(PlatformError):
    """In use by another thread at this moment; nothing was changed."""


# ----------------------------------------------------------------------------------------------------------- state


class State:
    """The registers of one guest thread, as they cross the contract.

    `registers` is the kernel's ``user_regs_struct`` (a bytearray of 8-byte words in kernel order) and `words` the same
    memory as unsigned integers, indexed by the numbers in `worldswitch.harness.arch.registers`.  The extended state
    (x87, SSE, AVX ...) is an opaque XSAVE image: read it through `xstate`, replace it with `write_xstate`, which is how
    a platform learns that it changed.
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
        """The register called `name` in user_regs_struct."""
        return self.words[registers.INDEX[name]]

    def __setitem__(self, name: str, value: int) -> None:
        self.words[registers.INDEX[name]] = value & 0xFFFF_FFFF_FFFF_FFFF

    @property
    def xstate(self) -> memoryview:
        """The extended state, read-only."""
        return memoryview(self._xstate).toreadonly()

    @property
    def xstate_buffer(self) -> bytearray:
        """The extended state's memory, for platforms to read the hardware's into."""
        return self._xstate

    def write_xstate(self, image: bytes | memoryview) -> None:
        """Replace the extended state; `image` must have its exact size (else ValueError)."""
        if len(image) != len(self._xstate):
            raise ValueError(f"an extended state of {len(image)} bytes where this machine's has {len(self._xstate)}")
        self._xstate[:] = image
        self.xstate_version += 1

    @property
    def arguments(self) -> tuple[int, ...]:
        """The six arguments of the system call that ended the last switch."""
        return tuple(self.words[i] for i in registers.ARGUMENTS)

    @property
    def result(self) -> int:
        """The register a system call's result goes to, as an unsigned integer."""
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
    """Where a stub thread runs relative to the thread that traces it."""

    FOLLOW = "follow"  #: on the CPU its tracer is on at each switch
    PIN = "pin"  #: both on one CPU, chosen when the tracing thread first switches
    FREE = "free"  #: wherever the scheduler puts it


class DeathPolicy(enum.Enum):
    """What the death of a stub takes with it."""

    SUBPROCESS = "subprocess"  #: its own address space only; everybody is told by a typed event or error
    PLATFORM = "platform"  #: the whole process that holds the platform, by SIGKILL (the seed's policy)


@dataclass(frozen=True, slots=True)
class Options:
    """How a platform is to run.  All but the first four and the last are for `Inspectable` platforms."""

    placement: Placement = Placement.FOLLOW
    death_policy: DeathPolicy = DeathPolicy.SUBPROCESS
    pool_limit: int = 16  #: released stubs kept for reuse
    #: The guest's CPUID instruction is a general protection fault, for the caller to emulate, and where that cannot be
    #: had the platform is `Unavailable`; otherwise guests see the host's processor.
    cpuid_faults: bool = False
    exit_kill: bool = True  #: False: leave PTRACE_O_EXITKILL off the threads that run guests
    injectable: tuple[int, ...] = ()  #: system call numbers `inject` may make beside those the platform itself needs
    #: Where to note each ptrace request and stop, for the account of a failure; a platform may do without.
    recorder: Recorder | None = field(default=None, compare=False, repr=False)


class AddressSpace(Protocol):
    """One guest address space.  Any thread may use it; after `release` every use raises `Released`."""

    def map_file(
        self, address: int, file: int, offset: int, length: int, access: Access, precommit: bool = False
    ) -> None:
        """Map `length` bytes of the file descriptor `file` from `offset` at `address`, shared, replacing what is there.

        With `precommit` the pages are resident when the call returns.

        Raises `BadAddress`, `HostError`, `StubDied`, `Released`.  Seed: subprocess.MapFile.
        """

    def unmap(self, address: int, length: int) -> None:
        """Unmap every page in the range; holes are no error.

        Raises `BadAddress`, `HostError`, `StubDied`, `Released`.  Seed: subprocess.Unmap.
        """

    def release(self, *, wait: bool = True) -> None:
        """Give the address space back, all its mappings gone.  Without `wait` that happens in the background.

        Raises `Busy` while a guest runs in it and `Released` the second time.  Seed: subprocess.Release.
        """


class Context(Protocol):
    """One guest thread."""

    def switch(self, address_space: AddressSpace, state: State) -> Event:
        """Run the guest from `state` until an event; `state` is where it stopped.

        Raises `Released`, `Busy`, `WrongThread`, and `HostError` for registers the kernel refuses.
        Seed: subprocess.switchToApp.
        """

    def interrupt(self) -> None:
        """End the running switch, or the next one if none runs.  From any thread; never blocks.

        Seed: interrupt.Forwarder.NotifyInterrupt.
        """

    def pull(self) -> None:
        """Fetch a resident context's extended state into its last `State`; nothing to do for others.

        Only the thread that last switched it can (else `WrongThread`); afterwards it may switch anywhere.
        """


class Platform(Protocol):
    """Somewhere for guests to run.  Constructed with one argument, `Options`."""

    @property
    def address_range(self) -> tuple[int, int]:
        """The lowest address a guest may map and the end of the highest (the stub's own page lies outside)."""

    def new_address_space(self) -> AddressSpace:
        """An empty address space.  Raises `HostError`, `StubDied`, `Released`."""

    def new_context(self, *, resident: bool = False) -> Context:
        """A context.  A `resident` one leaves its extended state in the stub thread until `pull`."""

    def new_state(self) -> State:
        """A state as of a fresh thread: registers zero, extended state initial."""

    def close(self) -> None:
        """End every stub and wait until they are gone.  Idempotent.

        A switch under way in another thread ends with `Died`, or raises `Released`.
        """


@dataclass(frozen=True, slots=True)
class Stub:
    """A look at the host process behind an address space."""

    pid: int  #: thread group id
    tids: tuple[int, ...]  #: all its threads now, the group leader first
    begin: int  #: where the stub's own code lies, which no guest may map
    end: int


@runtime_checkable
class Inspectable(Protocol):
    """An `AddressSpace` that lets white-box scenarios look inside.  A platform without it gets `unsupported` there."""

    def inject(self, number: int, *arguments: int) -> int:
        """Have the stub make a system call; its result.  Raises `HostError` with the call's errno, `StubDied`."""

    @property
    def stub(self) -> Stub:
        """The host process.  Raises `Released`; a dead stub still has its pid."""


PlatformFactory: TypeAlias = Callable[[Options], Platform]
"""What `--platform` names: usually the platform's class."""
