"""Decoding of wait statuses and siginfo_t."""

from __future__ import annotations

import os
import signal
import struct

import pytest

from worldswitch.harness.contract import Cause, Death
from worldswitch.reference import stops
from worldswitch.reference.stops import SI_KERNEL, SI_QUEUE, SI_USER, SIGINFO_SIZE, Stop, StopKind

EVENT_STOP = 128
EVENT_EXIT = 6


def stopped(signo: int, event: int = 0) -> int:
    """The status of a stop; as the C library reads it, too."""
    status = event << 16 | signo << 8 | 0x7F
    assert os.WIFSTOPPED(status)
    return status


@pytest.mark.parametrize(
    ("status", "stop"),
    [
        (3 << 8, Stop(StopKind.DEATH, 0, 3)),
        (0, Stop(StopKind.DEATH)),
        (signal.SIGKILL, Stop(StopKind.DEATH, signal.SIGKILL)),
        (signal.SIGSEGV | 0x80, Stop(StopKind.DEATH, signal.SIGSEGV)),  # with a core dump
        (stopped(signal.SIGTRAP | 0x80), Stop(StopKind.SYSCALL, signal.SIGTRAP)),
        (stopped(signal.SIGTRAP), Stop(StopKind.SIGNAL, signal.SIGTRAP)),
        (stopped(signal.SIGSTOP), Stop(StopKind.SIGNAL, signal.SIGSTOP)),
        (stopped(64), Stop(StopKind.SIGNAL, 64)),
        (stopped(signal.SIGSTOP, EVENT_STOP), Stop(StopKind.GROUP, signal.SIGSTOP)),
        (stopped(signal.SIGTTOU, EVENT_STOP), Stop(StopKind.GROUP, signal.SIGTTOU)),
        (stopped(signal.SIGTRAP, EVENT_STOP), Stop(StopKind.GROUP, signal.SIGTRAP)),
        (stopped(signal.SIGTRAP, EVENT_EXIT), Stop(StopKind.EVENT, signal.SIGTRAP, EVENT_EXIT)),
    ],
)
def test_a_status(status: int, stop: Stop) -> None:
    assert stops.decode(status) == stop


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (3 << 8, Cause(Death.EXITED, status=3)),
        (signal.SIGKILL, Cause(Death.SIGNALED, signo=signal.SIGKILL)),
        (signal.SIGSYS | 0x80, Cause(Death.SECCOMP, signo=signal.SIGSYS)),
    ],
)
def test_a_death_has_a_cause(status: int, cause: Cause) -> None:
    assert stops.cause_of(stops.decode(status)) == cause


def siginfo(signo: int, code: int, union: bytes) -> stops.SignalInfo:
    return stops.decode_siginfo(struct.pack("=iiixxxx", signo, 0, code) + union.ljust(SIGINFO_SIZE - 16, b"\0"))


def test_a_queued_signal_has_a_sender_and_a_value() -> None:
    info = siginfo(signal.SIGRTMIN, SI_QUEUE, struct.pack("=iiQ", 4711, 1000, 1 << 63))
    assert (info.signo, info.code, info.pid, info.value) == (signal.SIGRTMIN, SI_QUEUE, 4711, 1 << 63)


def test_a_fault_has_an_address() -> None:
    info = siginfo(signal.SIGSEGV, 2, struct.pack("=Q", 0x7FFF_FFFF_F000))
    assert info.address == 0x7FFF_FFFF_F000
    assert info.is_synchronous
    assert info.has_address


@pytest.mark.parametrize(
    ("signo", "code", "synchronous", "address"),
    [
        (signal.SIGSEGV, SI_KERNEL, True, False),  # a general protection fault
        (signal.SIGSEGV, SI_USER, False, False),
        (signal.SIGSEGV, SI_QUEUE, False, False),
        (signal.SIGBUS, 2, True, True),
        (signal.SIGTRAP, 1, True, False),
        (signal.SIGSYS, 1, True, False),
        (signal.SIGCHLD, 1, False, False),  # CLD_EXITED
        (signal.SIGIO, SI_KERNEL, False, False),
    ],
)
def test_whose_a_signal_is(signo: int, code: int, synchronous: bool, address: bool) -> None:
    info = siginfo(signo, code, b"")
    assert (info.is_synchronous, info.has_address) == (synchronous, address)


def test_a_system_calls_architecture() -> None:
    assert stops.decode_syscall_info(struct.pack("=BxxxIQ", 1, 0xC000_003E, 0).ljust(96, b"\0")) == (1, 0xC000_003E)
