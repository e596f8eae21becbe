"""Execution: a guest's registers, and its system calls as the caller sees them.

Seed: context.Switch, subprocess.switchToApp.
"""

from __future__ import annotations

import os
import signal
from random import Random

import pytest

from worldswitch.harness.arch import registers
from worldswitch.harness.contract import Abi, Signal, Syscall
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import GETPID_I386, Number
from worldswitch.scenarios.stage.processes import process_state
from worldswitch.scenarios.stage.stage import Guest, Stage

ALL_ONES = 0xFFFF_FFFF_FFFF_FFFF

#: asm/processor-flags.h: the arithmetic and direction flags, which a program may set, and the resume flag.
FREE_FLAGS = 0x0CD5
RESUME_FLAG = 0x1_0000

#: asm-generic/siginfo.h
ILL_ILLOPN = 2

# Instructions, to find their offsets in a guest's code.
SYSCALL = b"\x0f\x05"
INT80 = b"\xcd\x80"
UD2 = b"\x0f\x0b"

#: Registers that `twiddle` inverts, in addition to rsp.
TWIDDLED = registers.NAMES[:15]

# --------------------------------------------------------------------------------------------------------- system calls


@scenario("EX01", clauses=("seed.switchToApp", "kernel.S1"))
def a_system_call_shows_its_number_and_arguments(stage: Stage) -> None:
    """A system call reports its number and six 64-bit arguments as the guest loaded them."""
    guest = stage.guest(guests.six_arguments)
    assert guest.switch() == Syscall(Number.GETPID, Abi.NATIVE)
    assert guest.state.arguments == (
        *(0x1111_1111_1111_1111, 0x2222_2222_2222_2222, 0x3333_3333_3333_3333),
        *(0x4444_4444_4444_4444, 0x5555_5555_5555_5555, 0xF666_6666_6666_6666),
    )


@scenario("EX01", clauses=("seed.switchToApp", "kernel.S1"))
def a_system_call_leaves_the_registers_the_instruction_leaves(stage: Stage) -> None:
    """After a system call rip is past the instruction, rcx holds rip, r11 the flags and rax the number."""
    guest = stage.guest(guests.six_arguments)
    guest.run_to(Syscall)
    state = guest.state
    assert state.pc == guest.code + guests.six_arguments.code.index(SYSCALL) + len(SYSCALL)
    assert state["rcx"] == state.pc
    assert state["r11"] == state["eflags"]
    assert state["rax"] == Number.GETPID
    assert state.sp == guest.stack_address + guest.stack.size


@scenario("EX01", clauses=("seed.switchToApp", "seed.I7", "kernel.S1"), quick=200, normal=2000, soak=100_000)
def each_system_call_is_seen_once(stage: Stage) -> None:
    """Each system call of a loop ends one switch, in order, and its result reaches the guest."""
    guest = stage.guest(guests.getpid_loop, rax=0)
    for count in range(stage.trial.repeat):
        assert guest.switch() == Syscall(Number.GETPID)
        assert (guest.state["r12"], guest.data.word()) == (count, count)
        assert guest.state.arguments[0] == (count * 0x1_0000_0001) & ALL_ONES
        guest.state.result = (count + 1) * 0x1_0000_0001


@scenario("EX17", "K12", clauses=("seed.switchToApp", "kernel.S1", "fact.D9"))
def odd_system_call_numbers_arrive_verbatim(stage: Stage) -> None:
    """System call numbers such as -1, with the x32 bit or with high bits set, are reported as the guest loaded them."""
    odd = (
        -1 & ALL_ONES,
        0x4000_0000 | Number.GETPID,
        9999,
        0xFFFF_FFFF,
        0xDEAD_BEEF_0000_0027,
        1 << 63,
        -38 & ALL_ONES,
    )
    guest = stage.guest(guests.syscall_loop, rax=odd[0])
    for number, following in zip(odd, (*odd[1:], Number.GETPID), strict=True):
        assert guest.switch() == Syscall(number)
        guest.state.result = following
    assert guest.switch() == Syscall(Number.GETPID)


@scenario("EX17", clauses=("seed.switchToApp", "kernel.R2", "fact.E8"))
def results_that_look_like_restarts_arrive_verbatim(stage: Stage) -> None:
    """A result in the kernel's private range of errors reaches the guest, and the call is not made again."""
    guest = stage.guest(guests.getpid_loop)
    guest.run_to(Syscall)
    for count, error in enumerate((512, 513, 514, 516, 38, 4)):
        guest.state.result = -error
        assert guest.switch() == Syscall(Number.GETPID)
        assert guest.state["r12"] == count + 1
        assert guest.state.arguments[0] == -error & ALL_ONES


@scenario("EX18", clauses=("seed.switchToApp", "kernel.S1", "fact.D9"))
def deadly_system_calls_are_only_reported(stage: Stage) -> None:
    """A guest's exit, execve, fork, kill or munmap is reported and not executed."""
    guest = stage.guest(guests.syscall_loop)
    stub = stage.inspect(guest.space).stub
    guest.data[0:10] = b"/bin/true\0"
    for number, arguments in _deadly(stub.pid, guest.data_address).items():
        guest.state.result = number
        _set_arguments(guest, arguments)
        assert guest.switch() == Syscall(number)
        assert guest.state.arguments[: len(arguments)] == arguments
    now = stage.inspect(guest.space).stub
    assert now.pid == stub.pid
    assert process_state(stub.pid) not in (None, "Z", "X")
    assert guest.data[0:10] == b"/bin/true\0"


@scenario("EX18", clauses="seed.switchToApp")
def a_guest_cannot_write_to_the_harness(stage: Stage) -> None:
    """A guest's write to the harness's open descriptor is reported, and nothing is written."""
    reader, writer = os.pipe2(os.O_NONBLOCK)
    guest = stage.guest(guests.syscall_once, rax=Number.WRITE, rdi=writer, rdx=8)
    guest.state["rsi"] = guest.data_address
    assert guest.switch() == Syscall(Number.WRITE)
    with pytest.raises(BlockingIOError):
        os.read(reader, 1)
    os.write(writer, b"x")
    assert os.read(reader, 8) == b"x"


@scenario("EX15", "K13", clauses=("seed.W12", "fact.C1"), needs="int80")
def int_0x80_is_told_from_a_native_call(stage: Stage) -> None:
    """A call through ``int $0x80`` carries the i386 ABI."""
    guest = stage.guest(guests.int80_getpid)
    assert guest.switch() == Syscall(GETPID_I386, Abi.INT80)
    assert guest.state.pc == guest.code + guests.int80_getpid.code.index(INT80) + len(INT80)
    guest.state.result = 1
    assert guest.switch() == Syscall(Number.GETPID, Abi.NATIVE)


@scenario("EX15", clauses=("seed.W12", "fact.C1"), needs="int80")
def one_number_through_both_doors_is_two_calls(stage: Stage) -> None:
    """The same number through ``int $0x80`` and ``syscall`` is reported as two different calls, in either order."""
    guest = stage.guest(guests.int80_once)
    for program, abi in ((guests.int80_once, Abi.INT80), (guests.syscall_once, Abi.NATIVE)) * 2:
        guest.enter(program)
        guest.state["rax"] = Number.GETPID
        assert guest.switch() == Syscall(Number.GETPID, abi)


# ------------------------------------------------------------------------------------------------------------ registers


@scenario("EX02", clauses=("seed.switchToApp", "kernel.S1"), quick=50, normal=500, soak=20_000)
def registers_survive_a_system_call(stage: Stage) -> None:
    """General registers pass through a system call unchanged, except where the guest changes them."""
    guest = stage.guest(guests.twiddle_syscall)
    for round_ in range(stage.trial.repeat):
        given = _randomize(guest, Random(round_))
        assert guest.switch() == Syscall(given["rax"] ^ ALL_ONES)
        expected = {**_twiddled(given), "rcx": guest.state.pc, "r11": given["eflags"]}
        assert _general(guest) == {**expected, "rip": guest.code + len(guests.twiddle_syscall.code) - 2}


@scenario("EX02", clauses="seed.switchToApp", quick=50, normal=500, soak=20_000)
def registers_survive_a_fault(stage: Stage) -> None:
    """General registers, rcx and r11 included, pass through a fault unchanged."""
    guest = stage.guest(guests.twiddle_fault)
    fault = guest.code + guests.twiddle_fault.code.index(UD2)
    for round_ in range(stage.trial.repeat):
        given = _randomize(guest, Random(round_))
        assert guest.switch() == Signal(signal.SIGILL, ILL_ILLOPN, fault)
        assert _general(guest) == {**_twiddled(given), "rip": fault}


@scenario("EX02", clauses="seed.switchToApp")
def a_guest_sees_the_flags_it_is_given(stage: Stage) -> None:
    """A guest reads the flags of its state, each alone and all together."""
    guest = stage.guest(guests.read_flags)
    for flags in (0, *(1 << bit for bit in range(12) if FREE_FLAGS >> bit & 1), FREE_FLAGS):
        guest.state["eflags"] = 0x202 | flags
        guest.run_to(Syscall)
        assert guest.state["rsi"] == 0x202 | flags
        assert guest.state["eflags"] == 0x202 | flags


@scenario("EX02", clauses="seed.switchToApp", quick=20, normal=200, soak=5000)
def two_contexts_keep_their_registers_apart(stage: Stage) -> None:
    """Two contexts that alternate in one address space never see each other's registers."""
    one = stage.guest(guests.twiddle_syscall)
    other = stage.guest(guests.twiddle_fault, space=one.space)
    for round_ in range(stage.trial.repeat):
        given = {id(guest): _randomize(guest, Random(round_ + seed)) for guest, seed in ((one, 0), (other, 1 << 32))}
        for guest in (one, other):
            guest.switch()
            expected = _twiddled(given[id(guest)])
            got = _general(guest)
            unlike = {name for name in expected if got[name] != expected[name]}
            assert unlike <= {"rip", "rcx", "r11"}


# -------------------------------------------------------------------------------------------------------------- helpers


def _deadly(pid: int, path: int) -> dict[int, tuple[int, ...]]:
    kill = int(signal.SIGKILL)
    return {
        Number.EXIT: (1,),
        Number.EXIT_GROUP: (1,),
        Number.EXECVE: (path, 0, 0),
        Number.FORK: (),
        Number.VFORK: (),
        Number.CLONE: (int(signal.SIGCHLD), 0, 0, 0),
        Number.KILL: (pid, kill),
        Number.TKILL: (pid, kill),
        Number.TGKILL: (pid, pid, kill),
        Number.MUNMAP: (0, 0x7FFF_FFFF_F000),
        Number.RT_SIGRETURN: (),
        Number.PAUSE: (),
        Number.PTRACE: (0,),
        Number.RESTART_SYSCALL: (),
        Number.GETPID: (),
    }


def _set_arguments(guest: Guest, values: tuple[int, ...]) -> None:
    for index, value in zip(registers.ARGUMENTS, values, strict=False):
        guest.state.words[index] = value


def _randomize(guest: Guest, random: Random) -> dict[str, int]:
    """Set every general register to a random value, and start over; the registers."""
    state = guest.state
    for name in TWIDDLED:
        state[name] = random.getrandbits(64)
    state["rsp"] = random.getrandbits(64)
    state["eflags"] = 0x202 | (random.getrandbits(12) & FREE_FLAGS)
    state["fs_base"] = random.getrandbits(46)
    state["gs_base"] = random.getrandbits(46)
    state.pc = guest.code
    return _general(guest)


def _general(guest: Guest) -> dict[str, int]:
    """The guest's registers, without the resume flag, which some faults set."""
    values = {name: guest.state[name] for name in registers.GENERAL}
    return {**values, "eflags": values["eflags"] & ~RESUME_FLAG}


def _twiddled(given: dict[str, int]) -> dict[str, int]:
    return {name: value ^ ALL_ONES if name in (*TWIDDLED, "rsp") else value for name, value in given.items()}
