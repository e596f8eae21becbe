"""Entries to the kernel: every instruction and mode for a call is told apart, and none reaches the host.

The entries are ``syscall``, ``int $0x80`` and ``sysenter``, in 64-bit code, in 32-bit code behind a far return and
under a single step, and the vsyscall page.  Some processors lack some of them (an invalid instruction there), and a
kernel may have the i386 ones disabled.

Seed: subprocess.switchToApp, which takes every stop for the native instruction's and reads 32-bit registers as its own.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

import pytest

from worldswitch.harness.arch import registers
from worldswitch.harness.contract import Abi, Access, Event, Fault, Signal, Syscall
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import GETPID_I386, Number, Program
from worldswitch.scenarios.stage.stage import Guest, Stage

ALL_ONES = 0xFFFF_FFFF_FFFF_FFFF

TRAP_FLAG = 0x100  # asm/processor-flags.h
CODE_32 = 0x23  # asm/segment.h: __USER32_CS
SEGV_MAPERR = 1  # asm-generic/siginfo.h

WRITE_I386 = 4  # asm/unistd_32.h
X32 = 0x4000_0000  # asm/unistd.h: __X32_SYSCALL_BIT

VSYSCALL = 0xFFFF_FFFF_FF60_0000

#: The signals of an entry that is absent.
REFUSALS = (signal.SIGILL, signal.SIGSEGV)

# ----------------------------------------------------------------------------------------------------------------- ABIs


@scenario("EX15", "K13", clauses=("seed.W12", "Intel SDM SYSENTER"))
def sysenter_is_no_native_call(stage: Stage) -> None:
    """``sysenter`` in 64-bit code is an i386 call or an invalid instruction, but no native call."""
    guest = stage.guest(guests.door_sysenter, rax=GETPID_I386)
    guest.state["rbp"] = guest.data_address
    event = guest.switch()
    assert _is_refused(event) or event == Syscall(GETPID_I386, Abi.COMPAT)


@scenario("EX16", "K13", clauses=("seed.W11", "seed.W12", "kernel.S1"), needs="int80")
def int_0x80_from_32_bit_code_says_so(stage: Stage) -> None:
    """``int $0x80`` in 32-bit code is reported as an i386 call with all six arguments."""
    guest = stage.guest(guests.compat_int80, rax=GETPID_I386)
    arguments = dict(
        zip(("rcx", "rdx", "rsi", "rdi", "rbp"), range(0x1111_1111, 0x6666_6666, 0x1111_1111), strict=True)
    )
    for name, value in arguments.items():
        guest.state[name] = value
    stack_end = guest.state.sp
    assert guest.switch() == Syscall(GETPID_I386, Abi.COMPAT)
    assert {name: guest.state[name] for name in arguments} == arguments
    assert (guest.state["rbx"], guest.state.sp) == (guest.data_address, stack_end)
    assert guest.state.pc == guest.code + guests.compat_int80.code.index(b"\xcd\x80") + 2


@scenario("EX16", "K13", clauses=("seed.W11", "seed.W12"))
@pytest.mark.parametrize("program", [guests.compat_syscall, guests.compat_sysenter], ids=lambda program: program.name)
def the_other_instructions_from_32_bit_code_are_no_native_calls(stage: Stage, program: Program) -> None:
    """``syscall`` and ``sysenter`` in 32-bit code are i386 calls or invalid instructions, but no native calls."""
    guest = stage.guest(program, rax=GETPID_I386)
    guest.state["rbp"] = guest.data_address
    event = guest.switch()
    assert _is_refused(event) or event == Syscall(GETPID_I386, Abi.COMPAT)


@scenario("EX16", clauses=("seed.W11", "fact.C2"))
def a_fault_in_32_bit_code_is_whole(stage: Stage) -> None:
    """A fault in 32-bit code reports its address, its access and all registers, with the code segment of that mode."""
    guest = stage.guest(guests.compat_read, rdi=0xF000_0000)
    names = ("rax", "rbx", "rcx", "rdx", "rsi", "rbp")
    for number, name in enumerate(names, start=1):
        guest.state[name] = 0x1010_1010 * number
    stack_end = guest.state.sp
    place = guest.code + guests.compat_read.code.index(b"\x8b\x37")
    for _ in range(2):
        guest.state.pc = guest.code
        fault = guest.run_to(Fault)
        assert (fault.signo, fault.code, fault.address) == (signal.SIGSEGV, SEGV_MAPERR, 0xF000_0000)
        assert Access.EXECUTE not in fault.access
        assert (guest.state.pc, guest.state.sp, guest.state["cs"]) == (place, stack_end, CODE_32)
        assert [guest.state[name] for name in names] == [0x1010_1010 * number for number in range(1, 7)]


@scenario("EX16", clauses=("seed.W11", "fact.C2"))
@pytest.mark.parametrize(
    "program",
    [guests.compat_int80, guests.compat_syscall, guests.compat_sysenter, guests.compat_read],
    ids=lambda program: program.name,
)
def a_thread_that_was_in_32_bit_mode_serves_others(stage: Stage, program: Program) -> None:
    """After 32-bit code ran on a stub thread, the next guests on that thread run as 64-bit code."""
    guest = stage.guest(program, rax=GETPID_I386, rdi=0xF000_0000)
    guest.state["rbp"] = guest.data_address
    other = stage.guest(guests.twiddle_syscall, space=guest.space)
    fresh = stage.guest(guests.getpid_loop, space=guest.space)
    for round_ in range(3):
        guest.state.pc, guest.state.sp = guest.code, guest.stack_address + guest.stack.size
        assert not isinstance(guest.switch(), Syscall) or guest.state["cs"] == CODE_32
        given = _randomize(other, Random(round_))
        assert other.switch() == Syscall(given["rax"] ^ ALL_ONES)
        assert {name: other.state[name] for name in given} == {
            name: value ^ ALL_ONES if name not in ("rcx", "r11") else other.state[name] for name, value in given.items()
        }
        assert fresh.switch() == Syscall(Number.GETPID)
        assert fresh.state["r12"] == round_
    guest.enter(guests.getpid_loop)
    assert guest.switch() == Syscall(Number.GETPID)


# ------------------------------------------------------------------------------------------------ no effect on the host


@dataclass(frozen=True, slots=True)
class Door:
    """One way to ask the kernel to write eight bytes to a file."""

    name: str
    program: Program
    number: int = Number.WRITE
    arguments: tuple[str, str, str] = ("rdi", "rsi", "rdx")  #: the registers of descriptor, address and length
    further: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


I386 = ("rbx", "rcx", "rdx")

DOORS = (
    Door("syscall", guests.door_syscall),
    Door("syscall_x32", guests.door_syscall, X32 | Number.WRITE),
    Door("syscall_stepped", guests.door_syscall, further={"eflags": 0x202 | TRAP_FLAG}),
    Door("int80", guests.door_int80, WRITE_I386, I386),
    Door("int80_stepped", guests.door_int80, WRITE_I386, I386, {"eflags": 0x202 | TRAP_FLAG}),
    Door("sysenter", guests.door_sysenter, WRITE_I386, I386),
    Door("vsyscall", guests.door_call, further={"r13": VSYSCALL}),
    Door("vsyscall_odd", guests.door_call, further={"r13": VSYSCALL + 0x10}),
    Door("compat_int80", guests.compat_int80, WRITE_I386, I386),
    Door("compat_syscall", guests.compat_syscall, WRITE_I386, I386),
    Door("compat_sysenter", guests.compat_sysenter, WRITE_I386, I386),
)


@scenario("EX19", clauses=("seed.I6", "kernel.S1"))
def no_door_leads_to_the_harness(stage: Stage) -> None:
    """A guest's write to the harness's open file is reported as an event at every entry, and nothing is written."""
    reader, writer = os.pipe2(os.O_NONBLOCK)
    try:
        for door in DOORS:
            guest = _knock(stage, door, writer)
            event = guest.switch()
            while isinstance(event, Signal) and event.signo == signal.SIGTRAP:  # a step
                event = guest.switch()
            with pytest.raises(BlockingIOError):
                stage.trial.note(f"{door} leaked {os.read(reader, 8)!r}")
            assert isinstance(event, Syscall) or _is_refused(event), f"{door}: {event}"
            assert not isinstance(event, Syscall) or event.number == door.number
        os.write(writer, b"x")
        assert os.read(reader, 8) == b"x"
    finally:
        os.close(reader)
        os.close(writer)


# -------------------------------------------------------------------------------------------------------------- helpers


def _knock(stage: Stage, door: Door, file: int) -> Guest:
    """A guest about to make the call of this entry."""
    guest = stage.guest(door.program, rax=door.number)
    guest.state["rbp"] = guest.data_address  # sysenter reads its sixth argument from the stack at rbp
    arguments = dict(zip(door.arguments, (file, guest.data_address, 8), strict=True))
    for name, value in {**arguments, **door.further}.items():
        guest.state[name] = value
    return guest


def _is_refused(event: Event) -> bool:
    return isinstance(event, Signal | Fault) and event.signo in REFUSALS


def _randomize(guest: Guest, random: Random) -> dict[str, int]:
    for name in (*registers.GENERAL[:15], "rsp"):
        guest.state[name] = random.getrandbits(64)
    guest.state.pc = guest.code
    return {name: guest.state[name] for name in (*registers.GENERAL[:15], "rsp")}
