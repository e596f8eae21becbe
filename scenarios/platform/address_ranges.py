"""Address ranges: which ones a guest may have, and that others are refused before anything changes.

Seed: subprocess.MapFile, Unmap; the stub's page is above everything that a guest may map.
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
from worldswitch.scenarios.stage.stage import PAGE, Guest, GuestPages, Stage

DATA = Access.READ | Access.WRITE
SPACE_END = 1 << 64

#: The kernel's half begins here; it has the vsyscall page, which no process can unmap.
KERNEL_HALF = 1 << 63


# -------------------------------------------------------------------------------------------------- overflow and bounds


@scenario("AS01", "K56", clauses=("seed.Unmap", "kernel.M1"))
def an_unmap_past_the_end_of_addresses_is_refused(stage: Stage) -> None:
    """An unmap whose range ends beyond 2^64 is refused and unmaps nothing."""
    guest = writer(stage)
    for address in (guest.data_address, PAGE, SPACE_END - PAGE, SPACE_END // 2):
        for length in (SPACE_END - address + PAGE, SPACE_END - 1):
            _refuses(guest.space.unmap, address, length)
            is_whole(guest)


@scenario("AS01", clauses=("seed.Unmap", "kernel.M1"))
def numbers_wider_than_a_register_are_refused(stage: Stage) -> None:
    """An address or length wider than a register is refused and not truncated."""
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
    """A mapping whose range ends beyond 2^64 is refused and replaces nothing."""
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
    """A range that ends at exactly 2^64, which a register holds as 0, is refused."""
    guest = writer(stage)
    mapping = _mapping_of(guest, stage.memory(PAGE))
    for address in (SPACE_END - PAGE, SPACE_END - 2 * PAGE, KERNEL_HALF, guest.data_address, 0):
        _refuses(guest.space.unmap, address, SPACE_END - address)
        _refuses(mapping, address, SPACE_END - address)
        is_whole(guest)


@scenario("AS02", "K56", clauses=("seed.Unmap", "kernel.M1"))
def rounding_up_does_not_reach_the_end_of_addresses(stage: Stage) -> None:
    """A length that reaches 2^64 or the end of the guest's range only by rounding up is refused."""
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
    """An empty length or an unaligned address is refused, and the address space stays usable."""
    guest = writer(stage)
    mapping = _mapping_of(guest, stage.memory(PAGE))
    here = guest.data_address
    for address, length in ((here, 0), (0, 0), (here + 1, PAGE), (here + PAGE - 1, 1), (1, 1)):
        _refuses(guest.space.unmap, address, length)
        _refuses(mapping, address, length)
        is_whole(guest)


@scenario("AS03", "K56", clauses=("seed.Unmap", "kernel.M1", "kernel.M4"))
def ranges_beyond_the_guests_are_refused(stage: Stage) -> None:
    """A range that begins or ends outside the platform's address range is refused, by one byte or by many."""
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
    """An unmap of one byte unmaps its whole page and no other."""
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
    """An unmap passes over holes and succeeds for a range with nothing mapped, repeatedly."""
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
    """A bad descriptor or an unaligned offset raises the host's errno, and the address space stays usable."""
    guest = writer(stage)
    memory = stage.memory(PAGE)
    closed = fcntl.fcntl(memory.fd, fcntl.F_DUPFD, 500)  # another thread could reuse a lower number meanwhile
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
    """A shared writable mapping of a read-only descriptor is refused with EACCES; a readable one works."""
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
    """A range that overlaps the stub's code is refused, and the stub keeps working."""
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
    """The stub's code is outside the address range the platform offers, both ends of which can be mapped."""
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
    """A guest's write to the stub's code faults."""
    guest = stage.guest(guests.write_at)
    guest.state["rdi"] = stage.inspect(guest.space).stub.begin
    fault = guest.run_to(Fault)
    assert (fault.signo, fault.address) == (signal.SIGSEGV, guest.state["rdi"])
    guest.enter(guests.syscall_once)
    guest.state["rax"] = Number.GETPID
    assert guest.switch() == Syscall(Number.GETPID)


# -------------------------------------------------------------------------------------------------------------- helpers


def _refuses(operation: Callable[..., None], address: int, length: int) -> None:
    """Check that the platform refuses by itself, with `BadAddress`, before it asks the host."""
    try:
        operation(address, length)
    except BadAddress:
        return
    except PlatformError as other:
        raise AssertionError(f"{address:#x}, {length:#x} was refused only by {other!r}") from other
    raise AssertionError(f"{address:#x}, {length:#x} was accepted")


def _mapping_of(guest: Guest, memory: GuestPages) -> Callable[[int, int], None]:
    """Map `memory` into the guest's address space, given an address and a length."""
    return lambda address, length: guest.space.map_file(address, memory.fd, 0, length, DATA)
