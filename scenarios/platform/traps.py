"""Traps: the signals of a guest's own execution, single steps, and calls into the vsyscall page.

Seed: context.Switch, subprocess.switchToApp, patchSignalInfo.
"""

from __future__ import annotations

import os
import signal
import struct
from dataclasses import dataclass

import pytest

from worldswitch.harness.contract import Access, Event, Fault, Signal, Syscall
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import Number, Program
from worldswitch.scenarios.stage.stage import PAGE, Guest, Stage

#: asm/processor-flags.h
TRAP_FLAG = 0x100

# asm-generic/siginfo.h
SI_KERNEL = 0x80
TRAP_BRKPT = 1
TRAP_TRACE = 2
ILL_ILLOPN = 2
FPE_INTDIV = 1
BUS_ADRERR = 2
SEGV_MAPERR = 1

#: The vsyscall page and its calls (asm/vsyscall.h: VSYSCALL_ADDR).
VSYSCALL_PAGE = 0xFFFF_FFFF_FF60_0000
VSYSCALLS = {
    Number.GETTIMEOFDAY: VSYSCALL_PAGE,
    Number.TIME: VSYSCALL_PAGE + 0x400,
    Number.GETCPU: VSYSCALL_PAGE + 0x800,
}

# Instructions, to find their offsets in a guest's code.
POPF = b"\x9d"
CALL_R13 = b"\x41\xff\xd5"
CALL_RDI = b"\xff\xd7"
AND_STACK = bytes.fromhex("48 81 24 24 ff fe ff ff")  # andq $~TRAP_FLAG, (%rsp)

# ----------------------------------------------------------------------------------------------------- traps and faults


@dataclass(frozen=True, slots=True)
class Trap:
    """What one instruction raises."""

    program: Program
    instruction: bytes  #: its code, to find its offset
    signo: int
    code: int
    has_address: bool = False  #: si_addr is the program counter, otherwise 0
    advance: tuple[int, ...] = (0,)  #: how far the program counter may have moved


TRAPS = (
    Trap(guests.int3, b"\xcc", signal.SIGTRAP, SI_KERNEL, advance=(1,)),
    # The processor advances; some hypervisors do not.
    Trap(guests.int1, b"\xf1", signal.SIGTRAP, TRAP_BRKPT, has_address=True, advance=(0, 1)),
    Trap(guests.ud2, b"\x0f\x0b", signal.SIGILL, ILL_ILLOPN, has_address=True),
    Trap(guests.divide_by_zero, b"\xf7\xf1", signal.SIGFPE, FPE_INTDIV, has_address=True),
    Trap(guests.hlt, b"\xf4", signal.SIGSEGV, SI_KERNEL),
    Trap(guests.int_0x81, b"\xcd\x81", signal.SIGSEGV, SI_KERNEL),
    Trap(guests.read_noncanonical, b"\x48\x8b\x37", signal.SIGSEGV, SI_KERNEL),
)


@dataclass(frozen=True, slots=True)
class Division:
    """A division that raises a floating-point exception, its bit in the control words, and the signal's code."""

    name: str
    dividend: float
    divisor: float
    exception: int
    code: int


#: Exceptions: Intel SDM 1, 8.5 and 11.5; codes: asm-generic/siginfo.h, and arch/x86/kernel/fpu/core.c for denormals.
DIVISIONS = (
    Division("division by zero", 1.0, 0.0, 0x04, 3),
    Division("overflow", 1e308, 1e-10, 0x08, 4),
    Division("underflow", 1e-300, 1e300, 0x10, 5),
    Division("inexact", 1.0, 3.0, 0x20, 6),
    Division("invalid", 0.0, 0.0, 0x01, 7),
    Division("denormal", 5e-324, 1.0, 0x02, 5),
)


@scenario("EX11", clauses=("seed.W10", "kernel.I4", "fact.C5"))
@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.program.name)
def a_trap_is_the_signal_the_processor_means(stage: Stage, trap: Trap) -> None:
    """A trap reports its native signal, code, address and rip, again and again, and the guest can continue."""
    guest = stage.guest(trap.program)
    place = guest.code + trap.program.code.index(trap.instruction)
    for _ in range(3):
        guest.state.pc = guest.code
        event = guest.switch()
        assert event == Signal(trap.signo, trap.code, guest.state.pc if trap.has_address else 0)
        assert guest.state.pc - place in trap.advance
    guest.state.pc = place + len(trap.instruction)
    assert guest.switch() == Syscall(Number.GETPID)


@scenario("EX24", clauses=("seed.W10", "kernel.I4", "sigaction(2)"))
@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.program.name)
def a_traps_address_is_told_to_the_last_bit(stage: Stage, trap: Trap) -> None:
    """The address of a trap has all its bits, wherever the code lies."""
    guest = stage.guest(trap.program)
    lowest, end = stage.platform.address_range
    code = stage.memory(2 * PAGE)
    for bit in range(PAGE.bit_length() - 1, 47):
        address = (1 << bit) + len(trap.program.code)
        page = address - address % PAGE
        if page >= lowest and page + code.size <= end:
            code[address % PAGE : address % PAGE + len(trap.program.code)] = trap.program.code
            guest.space.unmap(guest.code, PAGE)
            guest.space.map_file(page, code.fd, 0, code.size, Access.READ | Access.EXECUTE)
            guest.state.pc, guest.code = address, page
            event = guest.switch()
            assert event == Signal(trap.signo, trap.code, guest.state.pc if trap.has_address else 0)
            assert guest.state.pc - address - trap.program.code.index(trap.instruction) in trap.advance


@scenario("EX24", clauses=("seed.W10", "kernel.I4", "sigaction(2)"))
@pytest.mark.parametrize("case", DIVISIONS, ids=lambda case: case.name)
@pytest.mark.parametrize("program", [guests.divide_by_sse, guests.divide_by_x87], ids=lambda p: p.name)
def a_floating_point_exception_has_its_code(stage: Stage, program: Program, case: Division) -> None:
    """Each floating-point exception that a guest unmasks is SIGFPE with its code and the address of its instruction."""
    guest = stage.guest(program)
    masked = 0x3F & ~case.exception
    guest.data.set_word(0, masked << 7 if program is guests.divide_by_sse else 0x340 | masked)
    guest.data[8:24] = struct.pack("=dd", case.dividend, case.divisor)
    for _ in range(2):
        guest.state.pc = guest.code
        event = guest.switch()
        assert isinstance(event, Signal), f"{case.name} was {event!r}"
        assert (event.signo, event.code) == (signal.SIGFPE, case.code)
        assert event.address == guest.state.pc
        assert guest.code < event.address < guest.code + len(program.code)


@scenario("EX24", clauses=("seed.W10", "kernel.I4", "sigaction(2)"))
def a_stack_that_is_no_address_is_a_bus_error_without_one(stage: Stage) -> None:
    """A push to an address that no paging mode has is SIGBUS without an address, and the guest can continue."""
    guest = stage.guest(guests.push_word)
    for stack in (1 << 63, 1 << 62, (1 << 63) + PAGE):
        guest.state.sp = stack
        assert guest.switch() == Signal(signal.SIGBUS, SI_KERNEL)
        assert (guest.state.sp, guest.state.pc) == (stack, guest.code)
    guest.state.sp = guest.stack_address + guest.stack.size
    assert guest.switch() == Syscall(Number.GETPID)


@scenario("EX11", clauses=("seed.W10", "kernel.I4"))
def memory_past_the_end_of_its_file_is_a_bus_error(stage: Stage) -> None:
    """An access to a mapped page beyond the end of its file is SIGBUS with its address until the file grows."""
    guest = stage.guest(guests.read_at)
    memory = stage.memory(PAGE)
    address = stage.place(guest.space, 2 * PAGE)
    guest.space.map_file(address, memory.fd, 0, 2 * PAGE, Access.READ)
    guest.state["rdi"] = address + PAGE
    assert guest.switch() == Fault(signal.SIGBUS, BUS_ADRERR, address + PAGE, Access.READ)
    assert guest.state.pc == guest.code
    os.ftruncate(memory.fd, 2 * PAGE)
    assert guest.switch() == Syscall(Number.GETPID)


@scenario("EX11", clauses=("seed.W10", "kernel.I4"))
def an_event_is_not_changed_by_the_next(stage: Stage) -> None:
    """An event that a switch returned does not change while the guest runs on."""
    guest = stage.guest(guests.ud2)
    first = guest.switch()
    guest.state.pc += 2
    second = guest.switch()
    assert (first, second) == (Signal(signal.SIGILL, ILL_ILLOPN, guest.code), Syscall(Number.GETPID))


# ------------------------------------------------------------------------------------------------------ single-stepping


@scenario("EX09", "K14", clauses=("seed.switchToApp", "kernel.S3"))
def a_guest_that_steps_itself_traps_after_each_instruction(stage: Stage) -> None:
    """A trap flag set by the guest's popf gives one SIGTRAP per instruction, except its system call, until cleared."""
    guest = stage.guest(guests.step_itself)
    stops = [_stop(guest) for _ in range(9)]
    at = guest.code + guests.step_itself.code.index(POPF)  # popf, then nop nop mov syscall nop pushf and popf nop
    lengths = (1 + 1, 1, 5, 2, 1, 1, len(AND_STACK), 1)
    places = [at + sum(lengths[: count + 1]) for count in range(len(lengths))]
    steps: list[Event] = [Signal(signal.SIGTRAP, TRAP_TRACE, place) for place in places]
    steps[3] = Syscall(Number.GETPID)
    assert stops[:8] == list(zip(steps, places, strict=True))
    assert stops[8][0] == Syscall(Number.GETPID)


@scenario("EX09", "K14", clauses=("seed.switchToApp", "kernel.S3", "fact.C4"))
def a_trap_flag_in_the_state_steps_the_guest(stage: Stage) -> None:
    """A trap flag in the state gives one SIGTRAP per instruction and stays set until it is cleared in the state."""
    guest = stage.guest(guests.getpid_loop)
    guest.state["eflags"] |= TRAP_FLAG
    lengths = (3, 5, 2, 3, 3, 2)
    for round_ in range(3):
        for count in range(len(lengths)):
            place = guest.code + sum(lengths[: count + 1]) if count < len(lengths) - 1 else guest.code
            event = guest.switch()
            assert event == (Syscall(Number.GETPID) if count == 2 else Signal(signal.SIGTRAP, TRAP_TRACE, place))
            assert guest.state.pc == place
            assert guest.state["eflags"] & TRAP_FLAG
        assert guest.data.word() == round_ + 1
    guest.state["eflags"] &= ~TRAP_FLAG
    assert guest.switch() == Syscall(Number.GETPID)
    assert not guest.state["eflags"] & TRAP_FLAG


# ------------------------------------------------------------------------------------------------------------- vsyscall


@scenario("EX12", "K58", clauses=("seed.patchSignalInfo", "fact.E9"))
@pytest.mark.parametrize("number", VSYSCALLS, ids=lambda number: number.name.lower())
def a_vsyscall_is_an_execute_fault(stage: Stage, number: Number) -> None:
    """A call into the vsyscall page is an execute fault there, as if nothing had run."""
    address = VSYSCALLS[number]
    guest = stage.guest(guests.call_function, r13=address, rdi=0, rsi=0, rdx=0)
    stack_end = guest.state.sp
    for _ in range(2):
        guest.state.pc, guest.state.sp, guest.state["rax"] = guest.code, stack_end, 0x1234
        fault = guest.run_to(Fault)
        assert (fault.signo, fault.address) == (signal.SIGSEGV, address)
        assert Access.EXECUTE in fault.access
        assert (guest.state.pc, guest.state.sp) == (address, stack_end - 8)
        assert guest.stack.word(guest.stack.size - 8) == guest.code + len(CALL_R13)
        # The kernel may have written the number, which the guest's call would overwrite anyway.
        assert guest.state["rax"] in (0x1234, number)
    guest.state.pc, guest.state.sp = guest.code + len(CALL_R13), stack_end
    assert guest.switch() == Syscall(Number.GETPID)


@scenario("EX12", clauses="seed.patchSignalInfo")
def a_vsyscall_with_a_bad_pointer_is_an_execute_fault_too(stage: Stage) -> None:
    """A vsyscall with a bad pointer is an execute fault, though the kernel checks its pointers first."""
    address = VSYSCALLS[Number.TIME]
    guest = stage.guest(guests.call_at, rdi=address)
    fault = guest.run_to(Fault)
    assert (fault.signo, fault.address, guest.state.pc) == (signal.SIGSEGV, address, address)


@scenario("EX12", clauses="seed.patchSignalInfo")
def the_system_calls_behind_vsyscalls_are_ordinary(stage: Stage) -> None:
    """The system calls behind vsyscalls, made by ``syscall``, are reported as ordinary calls."""
    guest = stage.guest(guests.syscall_loop, rax=Number.TIME)
    for number, following in (
        *((Number.TIME, Number.GETTIMEOFDAY), (Number.GETTIMEOFDAY, Number.GETCPU)),
        *((Number.GETCPU, Number.GETPID), (Number.GETPID, Number.TIME)),
    ):
        assert guest.switch() == Syscall(number)
        guest.state.result = following


@scenario("EX13", clauses="seed.patchSignalInfo")
@pytest.mark.parametrize("offset", [0x10, 0x410, 0xC00, 0xFFF], ids=hex)
def a_call_between_the_vsyscalls_is_a_fault_there(stage: Stage, offset: int) -> None:
    """A call between the vsyscalls' addresses is SIGSEGV there, with all registers as the call left them."""
    # The kernel's SIGSEGV has no address; without a vsyscall page, or if the platform recognises it, it is a fault.
    guest = stage.guest(guests.call_at, rdi=VSYSCALL_PAGE + offset, rax=0x1234)
    stack_end = guest.state.sp
    for _ in range(2):
        guest.state.pc, guest.state.sp = guest.code, stack_end
        event = guest.switch()
        fetch = Fault(signal.SIGSEGV, SEGV_MAPERR, VSYSCALL_PAGE + offset, Access.EXECUTE)
        assert event in (Signal(signal.SIGSEGV, SI_KERNEL), fetch)
        assert (guest.state.pc, guest.state.sp) == (VSYSCALL_PAGE + offset, stack_end - 8)
        assert guest.stack.word(guest.stack.size - 8) == guest.code + len(CALL_RDI)
        assert guest.state["rax"] == 0x1234
    guest.state.pc, guest.state.sp = guest.code + len(CALL_RDI), stack_end
    assert guest.switch() == Syscall(Number.GETPID)


def _stop(guest: Guest) -> tuple[Event, int]:
    event = guest.switch()
    return event, guest.state.pc
