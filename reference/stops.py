"""Wait statuses and siginfo_t, decoded into values."""

from __future__ import annotations

import enum
import os
import signal
import struct
from dataclasses import dataclass

from worldswitch.harness.contract import Cause, Death
from worldswitch.reference._core import lib

SIGINFO_SIZE = 128

# By getattr: inside a class, Python mangles names that begin with two underscores.
WALL: int = getattr(lib, "__WALL")

# include/uapi/asm-generic/siginfo.h
SI_USER = 0
SI_KERNEL = 0x80
SI_QUEUE = -1
SYS_SECCOMP = 1
SEGV_MAPERR = 1
BUS_ADRALN = 1

#: Signals that the guest's own instructions raise; with a positive code they have no other source.
SYNCHRONOUS = frozenset((signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP, signal.SIGSYS))


class StopKind(enum.Enum):
    """The kinds of a tracee's stop."""

    SYSCALL = "syscall"  #: PTRACE_O_TRACESYSGOOD's SIGTRAP | 0x80: entry or exit
    SIGNAL = "signal"  #: signal-delivery-stop
    GROUP = "group"  #: PTRACE_EVENT_STOP: a group-stop of any stop signal, or PTRACE_INTERRUPT's answer
    EVENT = "event"  #: another PTRACE_EVENT
    DEATH = "death"  #: not a stop: the thread has ended


@dataclass(frozen=True, slots=True)
class Stop:
    """A wait status, decoded."""

    kind: StopKind
    signo: int = 0
    status: int = 0

    def __str__(self) -> str:
        name = next((known.name for known in signal.Signals if known == self.signo), f"signal {self.signo}")
        return {
            StopKind.SYSCALL: "a system call stop",
            StopKind.SIGNAL: f"a stop for {name}",
            StopKind.GROUP: f"a group-stop by {name}",
            StopKind.EVENT: f"event {self.status}",
            StopKind.DEATH: f"its death by {name}" if self.signo else f"its exit with status {self.status}",
        }[self.kind]


def decode(status: int) -> Stop:
    """Decode the wait status of a tracee that was seized with PTRACE_O_TRACESYSGOOD."""
    if os.WIFEXITED(status):
        return Stop(StopKind.DEATH, 0, os.WEXITSTATUS(status))
    if os.WIFSIGNALED(status):
        return Stop(StopKind.DEATH, os.WTERMSIG(status))
    signo, event = (status >> 8) & 0xFF, status >> 16
    if event == lib.PTRACE_EVENT_STOP:
        return Stop(StopKind.GROUP, signo)
    if event:
        return Stop(StopKind.EVENT, signo, event)
    if signo == signal.SIGTRAP | 0x80:
        return Stop(StopKind.SYSCALL, int(signal.SIGTRAP))
    return Stop(StopKind.SIGNAL, signo)


def cause_of(stop: Stop, registers: bytes | None = None, dump: str = "") -> Cause:
    """The cause of a thread's death, from its last status."""
    if stop.signo == 0:
        return Cause(Death.EXITED, status=stop.status, registers=registers, dump=dump)
    death = Death.SECCOMP if stop.signo == signal.SIGSYS else Death.SIGNALED
    return Cause(death, signo=stop.signo, registers=registers, dump=dump)


@dataclass(frozen=True, slots=True)
class SignalInfo:
    """The fields of a siginfo_t that a tracer needs.

    The code decides which of `pid`, `value` and `address` is valid: the kernel keeps them in a union.
    """

    signo: int
    code: int
    pid: int
    value: int
    address: int

    @property
    def is_synchronous(self) -> bool:
        """True if an instruction of the thread raised it.

        A positive code alone is not enough: SIGCHLD and SIGIO have them too.
        """
        return self.code > 0 and self.signo in SYNCHRONOUS

    @property
    def has_address(self) -> bool:
        """True if `address` is the faulting one.

        It is not in a general protection fault, whose code is SI_KERNEL, nor in an alignment check.
        """
        if self.signo == signal.SIGBUS and self.code == BUS_ADRALN:
            return False
        return self.signo in (signal.SIGSEGV, signal.SIGBUS) and 0 < self.code < SI_KERNEL


def decode_syscall_info(raw: bytes) -> tuple[int, int]:
    """The operation (entry or exit) and the architecture of a ptrace_syscall_info."""
    operation, architecture = struct.unpack_from("=BxxxI", raw)
    return operation, architecture


def decode_siginfo(raw: bytes) -> SignalInfo:
    """Decode a siginfo_t of `SIGINFO_SIZE` bytes (x86-64 layout)."""
    signo, _errno, code = struct.unpack_from("=iii", raw)
    (pid,) = struct.unpack_from("=i", raw, 16)
    (value,) = struct.unpack_from("=Q", raw, 24)
    (address,) = struct.unpack_from("=Q", raw, 16)
    return SignalInfo(signo, code, pid, value, address)
