"""Faults: what a guest's access to inaccessible memory reports, and how reads, writes and executions are told apart.

ptrace does not show the processor's error code.  The seed calls a fault an execution if its address is the program
counter, and a write if the same instruction of the same context faulted on the same address in the previous switch, in
the same address space.  A platform may know better; these claims allow that.

Seed: context.Switch, subprocess.Unmap.
"""

from __future__ import annotations

import signal

import pytest

from worldswitch.harness.contract import Access, Fault, Interrupted, Signal, Syscall
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import Number, Program
from worldswitch.scenarios.stage.stage import PAGE, Guest, Stage

# asm-generic/siginfo.h
SEGV_MAPERR = 1
SEGV_ACCERR = 2
BUS_ADRALN, BUS_ADRERR = 1, 2
SI_KERNEL = 0x80

ALIGNMENT_CHECK = 0x4_0000  # asm/processor-flags.h: AC

READ_ONLY = Access.READ
DATA = Access.READ | Access.WRITE


# -------------------------------------------------------------------------------------------------------------- reports


@scenario("FT01", clauses="seed.Switch")
@pytest.mark.parametrize("program", [guests.read_at, guests.write_at, guests.increment_at], ids=lambda p: p.name)
def a_touch_of_nothing_tells_where(stage: Stage, program: Program) -> None:
    """An access to unmapped memory gives SIGSEGV with the address, at the instruction, which had no effect."""
    guest = _guest(stage, program)
    rsi = guest.state["rsi"]
    for _ in range(3):
        fault = guest.run_to(Fault)
        assert (fault.signo, fault.code, fault.address) == (signal.SIGSEGV, SEGV_MAPERR, guest.state["rdi"])
        assert (guest.state.pc, guest.state["rsi"]) == (guest.code, rsi)
        assert Access.EXECUTE not in fault.access


@scenario("FT01", clauses="seed.Switch")
def the_offset_in_the_page_is_told(stage: Stage) -> None:
    """The address of a fault is that of the byte and not of its page."""
    guest = _guest(stage, guests.read_at)
    for offset in (0, 1, 8, 0xABC, PAGE - 8):
        guest.state["rdi"] = _nowhere(stage, guest) + offset
        assert guest.run_to(Fault).address == guest.state["rdi"]


@scenario("FT01", clauses="seed.Switch")
def a_read_is_a_read(stage: Stage) -> None:
    """The first fault of a load is a read."""
    assert _guest(stage, guests.read_at).run_to(Fault).access == Access.READ


@scenario("FT01", clauses="seed.Switch")
def a_second_fault_on_a_readable_page_is_a_write(stage: Stage) -> None:
    """A store to a readable page is reported as a write, at the latest when it faults again."""
    guest = _guest(stage, guests.write_at)
    memory = stage.memory(PAGE)
    guest.state["rdi"] = stage.map(guest.space, memory, READ_ONLY)
    guest.state["rsi"] = 0x1234
    first, second = guest.run_to(Fault), guest.run_to(Fault)
    assert (first.code, second.code) == (SEGV_ACCERR, SEGV_ACCERR)
    assert Access.WRITE in second.access
    assert Access.EXECUTE not in first.access | second.access
    stage.map(guest.space, memory, DATA, address=guest.state["rdi"])
    assert guest.switch() == Syscall(Number.GETPID)
    assert memory.word() == 0x1234


@scenario("FT01", "FT04", clauses=("seed.Switch", "seed.W26"))
def a_write_is_told_after_a_read_was_answered(stage: Stage) -> None:
    """A store that faults again after its page was mapped readable is reported as a write."""
    guest = _guest(stage, guests.write_at)
    first = guest.run_to(Fault)
    memory = stage.memory(PAGE)
    stage.map(guest.space, memory, READ_ONLY, address=first.address)
    assert Access.WRITE in guest.run_to(Fault).access


@scenario("FT01", clauses="seed.Switch")
def a_jump_to_nothing_is_an_execution(stage: Stage) -> None:
    """A call of an unmapped address is an execute fault, with the program counter there."""
    guest = _guest(stage, guests.call_at)
    fault = guest.run_to(Fault)
    assert (fault.signo, fault.code, fault.address) == (signal.SIGSEGV, SEGV_MAPERR, guest.state["rdi"])
    assert Access.EXECUTE in fault.access
    assert guest.state.pc == fault.address


@scenario("FT01", clauses="seed.Switch")
def a_jump_to_data_is_an_execution(stage: Stage) -> None:
    """A call of code on a page that is only readable is an execute fault, and runs once the page is executable."""
    guest = _guest(stage, guests.call_at)
    memory = stage.memory(PAGE, guests.return_only.code)
    guest.state["rdi"] = stage.map(guest.space, memory, DATA)
    fault = guest.run_to(Fault)
    assert (fault.code, fault.address) == (SEGV_ACCERR, guest.state["rdi"])
    assert Access.EXECUTE in fault.access
    stage.map(guest.space, memory, Access.READ | Access.EXECUTE, address=fault.address)
    assert guest.switch() == Syscall(Number.GETPID)


@scenario("FT01", clauses="seed.Switch")
def a_page_without_any_access_faults(stage: Stage) -> None:
    """An access to a page mapped without any access is reported as denied and not as unmapped."""
    guest = _guest(stage, guests.read_at)
    guest.state["rdi"] = stage.map(guest.space, stage.memory(PAGE), Access.NONE)
    fault = guest.run_to(Fault)
    assert (fault.code, fault.address, fault.access) == (SEGV_ACCERR, guest.state["rdi"], Access.READ)


# --------------------------------------------------------------------------------------------------------------- unmaps


@scenario("FT02", clauses="seed.Unmap")
def an_unmap_forgets_the_last_fault(stage: Stage) -> None:
    """After an unmap of the faulting range, the same load's fault is a read again."""
    guest = _guest(stage, guests.read_at)
    first = guest.run_to(Fault)
    guest.space.unmap(first.address, PAGE)
    assert guest.run_to(Fault) == first
    assert first.access == Access.READ


@scenario("FT02", clauses="seed.Unmap")
def an_unmap_around_the_last_fault_forgets_it(stage: Stage) -> None:
    """An unmap of any range with the fault's address makes the next fault a read."""
    guest = _guest(stage, guests.read_at)
    for pages_before, pages_after in ((1, 0), (0, 1), (1, 1)):
        first = guest.run_to(Fault)
        guest.space.unmap(first.address - pages_before * PAGE, (pages_before + 1 + pages_after) * PAGE)
        assert guest.run_to(Fault).access == Access.READ
        guest.space.unmap(first.address, PAGE)


@scenario("FT02", clauses="seed.Unmap")
def an_unmap_forgets_the_faults_of_every_context(stage: Stage) -> None:
    """An unmap makes the next faults of all contexts of the address space reads."""
    one = _guest(stage, guests.read_at)
    other = stage.guest(guests.read_at, space=one.space, rdi=one.state["rdi"])
    for guest in (one, other):
        assert guest.run_to(Fault).access == Access.READ
    one.space.unmap(one.state["rdi"], PAGE)
    for guest in (one, other):
        assert guest.run_to(Fault).access == Access.READ


# ---------------------------------------------------------------------------------------------- what the caller changed


@scenario("FT04", clauses="seed.W26")
def a_page_that_was_taken_away_is_read_again(stage: Stage) -> None:
    """A load whose page was mapped readable and then inaccessible faults as a read."""
    guest = _guest(stage, guests.read_at)
    memory, address = stage.memory(PAGE), guest.state["rdi"]
    for _ in range(3):
        assert guest.run_to(Fault).access == Access.READ
        stage.map(guest.space, memory, READ_ONLY, address=address)
        stage.map(guest.space, memory, Access.NONE, address=address)
    stage.map(guest.space, memory, READ_ONLY, address=address)
    assert guest.switch() == Syscall(Number.GETPID)


@scenario("FT04", clauses="seed.W26")
def a_mapping_beside_the_fault_changes_nothing(stage: Stage) -> None:
    """A store faults as a write again after another page was mapped without access."""
    guest = _guest(stage, guests.write_at)
    first = guest.run_to(Fault)
    stage.map(guest.space, stage.memory(PAGE), Access.NONE, address=first.address + PAGE)
    assert guest.run_to(Fault).access == Access.WRITE


# ---------------------------------------------------------------------------------------------------- protection faults


@scenario("FT05", clauses=("seed.W10", "kernel.I4", "fact.C5"))
@pytest.mark.parametrize("program", [guests.hlt, guests.read_noncanonical, guests.int_0x81], ids=lambda p: p.name)
def a_protection_fault_is_no_fault_at_zero(stage: Stage, program: Program) -> None:
    """A general protection fault is a signal without an address, and not a fault at address 0."""
    guest = stage.guest(program)
    lowest = guest.platform.address_range[0]
    stage.map(guest.space, stage.memory(4 * PAGE), DATA, address=lowest)
    for _ in range(3):
        guest.state.pc = guest.code
        assert guest.switch() == Signal(signal.SIGSEGV, SI_KERNEL)


@scenario("FT08", clauses=("seed.W10", "kernel.I4", "Intel SDM 3, 6.15"))
def an_unaligned_access_is_no_fault_at_zero(stage: Stage) -> None:
    """An unaligned access of a guest that set the alignment check flag is a signal without an address."""
    guest = stage.guest(guests.read_at)
    guest.state["rdi"] = guest.data_address + 1
    for _ in range(3):
        guest.state.pc = guest.code
        guest.state["eflags"] |= ALIGNMENT_CHECK
        assert guest.switch() == Signal(signal.SIGBUS, BUS_ADRALN)
        assert guest.state.pc == guest.code
        guest.state["eflags"] &= ~ALIGNMENT_CHECK
        assert guest.switch() == Syscall(Number.GETPID)


@scenario("FT05", clauses=("seed.W10", "kernel.I4"))
def a_protection_fault_between_makes_it_another_fault(stage: Stage) -> None:
    """A load that faults again after a protection fault is a read."""
    guest = _guest(stage, guests.read_at)
    elsewhere = stage.load(guests.hlt, guest.space)
    for _ in range(3):
        guest.state.pc = guest.code
        assert guest.run_to(Fault).access == Access.READ
        guest.state.pc = elsewhere
        assert guest.switch() == Signal(signal.SIGSEGV, SI_KERNEL)


# ---------------------------------------------------------------------------------------------------------- near misses


@scenario("FT03", clauses="seed.Switch")
def another_address_is_another_fault(stage: Stage) -> None:
    """The same instruction faulting on another address is a read each time."""
    guest = _guest(stage, guests.read_at)
    for offset in (0, 8, 0, 8):
        guest.state["rdi"] = _nowhere(stage, guest) + offset
        assert guest.run_to(Fault).access == Access.READ


@scenario("FT03", clauses="seed.Switch")
def another_instruction_is_another_fault(stage: Stage) -> None:
    """Another instruction faulting on the same address is a read each time."""
    guest = _guest(stage, guests.read_at)
    places = [guest.code, stage.load(guests.read_at, guest.space)]
    for place in places * 2:
        guest.state.pc = place
        assert guest.run_to(Fault).access == Access.READ


@scenario("FT03", clauses="seed.Switch")
def a_system_call_between_makes_it_another_fault(stage: Stage) -> None:
    """The same fault after a system call is a read again."""
    guest = _guest(stage, guests.read_at)
    elsewhere = stage.load(guests.syscall_once, guest.space)
    for _ in range(3):
        guest.state.pc = guest.code
        assert guest.run_to(Fault).access == Access.READ
        guest.state.pc = elsewhere
        guest.run_to(Syscall)


@scenario("FT09", clauses=("seed.Switch", "seed.NotifyInterrupt"))
def an_interrupt_between_makes_it_another_fault(stage: Stage) -> None:
    """A load that faults again after an interrupt is a read, whether the guest ran in between or not."""
    guest = _guest(stage, guests.read_at)
    computing = stage.load(guests.count_loop, guest.space)
    for _ in range(3):
        guest.state.pc = guest.code
        assert guest.run_to(Fault).access == Access.READ
        guest.context.interrupt()
        assert guest.switch() == Interrupted()
        assert guest.run_to(Fault).access == Access.READ
        guest.state.pc = computing
        interrupting = stage.thread(_interrupt, stage, guest, guest.data.word())
        assert guest.switch() == Interrupted()
        interrupting.result()


@scenario("FT09", clauses=("seed.Switch", "kernel.I4"))
def a_bus_error_again_is_no_write(stage: Stage) -> None:
    """A load beyond the end of its file faults as a read each time."""
    guest = stage.guest(guests.read_at)
    memory = stage.memory(PAGE)
    address = stage.place(guest.space, 2 * PAGE)
    guest.space.map_file(address, memory.fd, 0, 2 * PAGE, DATA)
    guest.state["rdi"] = address + PAGE
    for _ in range(3):
        assert guest.switch() == Fault(signal.SIGBUS, BUS_ADRERR, address + PAGE, Access.READ)


@scenario("FT03", clauses="seed.Switch")
def another_address_space_is_another_fault(stage: Stage) -> None:
    """The same fault of one context in two address spaces is a read in each."""
    one = _guest(stage, guests.read_at)
    other = stage.guest(guests.read_at, context=one.context, rdi=one.state["rdi"])
    assert (one.code, one.state["rdi"]) == (other.code, other.state["rdi"])
    for guest in (one, other, one, other):
        assert guest.run_to(Fault).access == Access.READ


@scenario("FT03", clauses="seed.Switch")
def another_context_is_another_fault(stage: Stage) -> None:
    """The same fault of two contexts in one address space is a read for each."""
    one = _guest(stage, guests.read_at)
    other = stage.guest(guests.read_at, space=one.space, rip=one.code, rdi=one.state["rdi"])
    assert one.run_to(Fault) == other.run_to(Fault)
    assert other.context is not one.context
    third = stage.guest(guests.read_at, space=one.space, rip=one.code, rdi=one.state["rdi"])
    assert third.run_to(Fault).access == Access.READ


# ------------------------------------------------------------------------------------------------------------ recycling


@scenario("FT06", clauses=("seed.Release", "seed.Unmap"))
def a_recycled_address_space_has_no_last_fault(stage: Stage) -> None:
    """The same fault in a recycled address space is a read."""
    guest = _guest(stage, guests.read_at)
    for _ in range(3):
        first = guest.run_to(Fault)
        assert first.access == Access.READ
        guest.space.release()
        guest = stage.guest(guests.read_at, context=guest.context, rdi=first.address)
    assert guest.run_to(Fault) == first


# -------------------------------------------------------------------------------------------------------------- helpers


def _interrupt(stage: Stage, guest: Guest, begin: int) -> None:
    """Interrupt the guest once its count exceeds `begin`."""
    stage.wait_until(lambda: guest.data.word() > begin, claim="the guest computes")
    guest.context.interrupt()


def _guest(stage: Stage, program: Program) -> Guest:
    """A guest whose rdi points to an unmapped page between unmapped pages."""
    guest = stage.guest(program)
    guest.state["rdi"] = _nowhere(stage, guest)
    return guest


def _nowhere(stage: Stage, guest: Guest) -> int:
    return stage.place(guest.space, 3 * PAGE) + PAGE
