"""Address ranges: which of them a guest can have, and that the others are refused before anything is changed.

Seed: subprocess.MapFile, Unmap; the stub's page stands above all that a guest may map.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from collections.abc import Callable

import pytest

from worldswitch.harness.contract import Access, BadAddress, Fault, HostError, PlatformError, Syscall
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage.memory_guests import is_whole, reader, writer
from worldswitch.scenarios.stage.processes import mappings_of
from worldswitch.scenarios.stage.stage import PAGE, Guest, Memory, Stage

DATA = Access.READ | Access.WRITE
SPACE_END = 1 << 64

#: Where the kernel's half begins, and with it the vsyscall page, which no process can be rid of.
KERNEL_HALF = 1 << 63


# -------------------------------------------------------------------------------------------------- overflow and bounds


@scenario("AS01", "K56", clauses=("seed.Unmap", "kernel.M1"))
def an_unmap_past_the_end_of_addresses_is_refused(stage: Stage) -> None:
    """A range whose end is beyond 2^64 is an error before anything is injected, and unmaps nothing."""
    guest = writer(stage)
    for address in (guest.data_address, PAGE, SPACE_END - PAGE, SPACE_END // 2):
        for length in (SPACE_END - address + PAGE, SPACE_END - 1):
            _refuses(guest.space.unmap, address, length)
            is_whole(guest)


@scenario("AS01", clauses=("seed.Unmap", "kernel.M1"))
def numbers_wider_than_a_register_are_refused(stage: Stage) -> None:
    """An address or length that a register would cut to something harmless is refused, not cut."""
    guest = writer(stage)
    here = guest.data_address
    for address, length in (
        *((here, SPACE_END + PAGE), (here + SPACE_END, PAGE), (here + 2 * SPACE_END, SPACE_END + PAGE)),
        *((here - SPACE_END, PAGE), (here + PAGE, -PAGE), (-PAGE, PAGE), (here, 1 << 70), (1 << 70, PAGE)),
    ):
        _refuses(guest.space.unmap, address, length)
        is_whole(guest)


@scenario("AS01", clauses=("seed.MapFile", "kernel.M1"))
def a_mapping_past_the_end_of_addresses_is_refused(stage: Stage) -> None:
    """`map_file` checks its range as `unmap` does, and replaces nothing when it refuses."""
    guest = writer(stage)
    mapping = _mapping_of(guest, stage.memory(PAGE))
    here = guest.data_address
    for address, length in (
        *((here, SPACE_END - here + PAGE), (here, SPACE_END + PAGE), (here + SPACE_END, PAGE)),
        *((here - SPACE_END, PAGE), (here, -PAGE), (SPACE_END - PAGE, 2 * PAGE)),
    ):
        _refuses(mapping, address, length)
        is_whole(guest)


@scenario("AS02", clauses=("seed.Unmap", "kernel.M1"))
def a_range_that_ends_at_the_end_of_addresses_is_refused(stage: Stage) -> None:
    """An end of exactly 2^64, which a register holds as 0, is beyond every guest's memory."""
    guest = writer(stage)
    mapping = _mapping_of(guest, stage.memory(PAGE))
    for address in (SPACE_END - PAGE, SPACE_END - 2 * PAGE, KERNEL_HALF, guest.data_address, 0):
        _refuses(guest.space.unmap, address, SPACE_END - address)
        _refuses(mapping, address, SPACE_END - address)
        is_whole(guest)


@scenario("AS02", "K56", clauses=("seed.Unmap", "kernel.M1"))
def rounding_up_does_not_reach_the_end_of_addresses(stage: Stage) -> None:
    """A length that only rounding to pages takes to 2^64 or past the guest's range is refused as well."""
    guest = writer(stage)
    _, end = stage.platform.address_range
    for address, length in (
        *((SPACE_END - PAGE, 1), (SPACE_END - PAGE, PAGE - 1), (SPACE_END - 2 * PAGE, PAGE + 1)),
        *((end - PAGE, PAGE + 1), (guest.data_address, SPACE_END - guest.data_address - 1), (end, 1)),
    ):
        _refuses(guest.space.unmap, address, length)
        is_whole(guest)


@scenario("AS03", "K56", clauses=("seed.Unmap", "kernel.M1"))
def empty_and_unaligned_ranges_are_refused(stage: Stage) -> None:
    """No length, or an address inside a page, is an error of the caller's, and the address space goes on."""
    guest = writer(stage)
    mapping = _mapping_of(guest, stage.memory(PAGE))
    here = guest.data_address
    for address, length in ((here, 0), (0, 0), (here + 1, PAGE), (here + PAGE - 1, 1), (1, 1)):
        _refuses(guest.space.unmap, address, length)
        _refuses(mapping, address, length)
        is_whole(guest)


@scenario("AS03", "K56", clauses=("seed.Unmap", "kernel.M1", "kernel.M4"))
def ranges_beyond_the_guests_are_refused(stage: Stage) -> None:
    """What begins or ends outside the platform's address range is refused, on either side, by a byte or by far."""
    guest = writer(stage)
    mapping = _mapping_of(guest, stage.memory(PAGE))
    begin, end = stage.platform.address_range
    assert 0 <= begin < end <= KERNEL_HALF
    for address, length in (
        *((end, PAGE), (end - PAGE, 2 * PAGE), (end + PAGE, PAGE), (0x7FFF_FFFF_F000, PAGE), (KERNEL_HALF, PAGE)),
        *((guest.data_address, end - guest.data_address + PAGE),),
    ):
        _refuses(guest.space.unmap, address, length)
        _refuses(mapping, address, length)
        is_whole(guest)


@scenario("AS03", "K56", clauses=("seed.Unmap", "kernel.M1"))
def a_length_is_rounded_up_to_pages(stage: Stage) -> None:
    """A byte of a page is the page: unmapping one unmaps the page, and no more."""
    guest = reader(stage)
    memory = stage.memory(2 * PAGE)
    address = stage.map(guest.space, memory)
    guest.space.unmap(address, 1)
    guest.state["rdi"] = address + PAGE - 8
    assert guest.run_to(Fault).address == address + PAGE - 8
    guest.state["rdi"] = address + PAGE
    assert guest.switch() == Syscall(Number.GETPID)


@scenario("AS03", "K56", clauses=("seed.Unmap", "kernel.M1"))
def unmapping_nothing_is_no_error(stage: Stage) -> None:
    """Holes in a range are passed over, and a range that is all hole is fine, twice too."""
    guest = reader(stage)
    memory = stage.memory(PAGE)
    address = stage.place(guest.space, 3 * PAGE)
    stage.map(guest.space, memory, address=address + PAGE)
    for _ in range(2):
        guest.space.unmap(address, 3 * PAGE)
        guest.state["rdi"] = address + PAGE
        assert guest.run_to(Fault).address == address + PAGE
    is_whole(guest)


@scenario("AS03", clauses=("seed.MapFile", "seed.W20"))
def what_the_host_refuses_is_an_error_with_its_errno(stage: Stage) -> None:
    """A descriptor that is none, or an unaligned offset, comes back as an error, and the address space goes on."""
    guest = writer(stage)
    memory = stage.memory(PAGE)
    closed = fcntl.fcntl(memory.fd, fcntl.F_DUPFD, 500)  # a lower number may be another's before it is used
    os.close(closed)
    address = stage.place(guest.space, PAGE)
    with pytest.raises(HostError) as refusal:
        guest.space.map_file(address, closed, 0, PAGE, DATA)
    assert refusal.value.errno == errno.EBADF
    with pytest.raises(PlatformError):
        guest.space.map_file(address, memory.fd, 1, PAGE, DATA)
    with pytest.raises(PlatformError):
        guest.space.map_file(address, -1, 0, PAGE, DATA)
    is_whole(guest)


@scenario("AS03", clauses=("seed.MapFile", "seed.W20"))
def a_file_open_for_reading_cannot_be_mapped_for_writing(stage: Stage) -> None:
    """A shared writable mapping of a read-only descriptor is refused with EACCES, a readable one is fine."""
    guest = reader(stage)
    memory = stage.memory(PAGE)
    memory.set_word(0, 0x1234)
    read_only = os.open(f"/proc/self/fd/{memory.fd}", os.O_RDONLY)
    address = stage.place(guest.space, PAGE)
    with pytest.raises(HostError) as refusal:
        guest.space.map_file(address, read_only, 0, PAGE, DATA)
    assert refusal.value.errno == errno.EACCES
    guest.space.map_file(address, read_only, 0, PAGE, Access.READ)
    guest.state["rdi"] = address
    assert guest.switch() == Syscall(Number.GETPID)
    assert guest.state["rsi"] == 0x1234


# ------------------------------------------------------------------------------------------------------------- the stub


@scenario("AS05", "K54", clauses=("seed.I9", "seed.stubStart", "kernel.M3"))
def the_stub_cannot_be_mapped_over_or_unmapped(stage: Stage) -> None:
    """A range that touches the stub's code is refused, wherever it begins and ends, and the stub goes on."""
    guest = writer(stage)
    space = stage.inspect(guest.space)
    stub = space.stub
    mapping = _mapping_of(guest, stage.memory(PAGE))
    before = mappings_of(stub.pid)
    for address, length in (
        *((stub.begin, stub.end - stub.begin), (stub.begin, 1), (stub.end - PAGE, PAGE), (stub.begin - PAGE, PAGE + 1)),
        *((stub.begin - PAGE, 3 * PAGE), (guest.data_address, stub.end - guest.data_address)),
    ):
        _refuses(space.unmap, address, length)
        _refuses(mapping, address, length)
        assert mappings_of(stub.pid) == before
        is_whole(guest)


@scenario("AS05", clauses=("seed.stubStart", "kernel.M3"))
def the_stub_lies_outside_the_guests_range(stage: Stage) -> None:
    """No part of the stub's code is in the address range the platform offers, whose ends can both be mapped."""
    guest = reader(stage)
    space = stage.inspect(guest.space)
    begin, end = stage.platform.address_range
    assert space.stub.begin >= end or space.stub.end <= begin
    memory = stage.memory(PAGE)
    for count, address in enumerate((end - PAGE, -(-begin // PAGE) * PAGE)):
        memory.set_word(0, count + 1)
        space.map_file(address, memory.fd, 0, PAGE, DATA)
        guest.state.pc, guest.state["rdi"] = guest.code, address
        assert guest.switch() == Syscall(Number.GETPID)
        assert guest.state["rsi"] == count + 1


@scenario("AS05", clauses=("seed.stubStart", "kernel.M3"))
def a_guest_cannot_change_the_stub(stage: Stage) -> None:
    """A guest's own write into the stub's code faults, whatever it may read there."""
    guest = stage.guest(guests.write_at)
    guest.state["rdi"] = stage.inspect(guest.space).stub.begin
    fault = guest.run_to(Fault)
    assert (fault.signo, fault.address) == (signal.SIGSEGV, guest.state["rdi"])
    guest.enter(guests.syscall_once)
    guest.state["rax"] = Number.GETPID
    assert guest.switch() == Syscall(Number.GETPID)


# -------------------------------------------------------------------------------------------------------------- helpers


def _refuses(operation: Callable[..., None], address: int, length: int) -> None:
    """The platform itself says no: neither does it agree, nor leave it to the host to refuse."""
    try:
        operation(address, length)
    except BadAddress:
        return
    except PlatformError as other:
        raise AssertionError(f"{address:#x}, {length:#x} got as far as {other!r}") from other
    raise AssertionError(f"{address:#x}, {length:#x} was accepted")


def _mapping_of(guest: Guest, memory: Memory) -> Callable[[int, int], None]:
    """Map `memory` into the guest's address space, given an address and a length."""
    return lambda address, length: guest.space.map_file(address, memory.fd, 0, length, DATA)
