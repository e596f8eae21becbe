"""Boundaries: the first and the last value of each address, length, offset and descriptor that a mapping may have.

Seed: subprocess.MapFile, Unmap, context.Switch.
"""

from __future__ import annotations

import errno
import itertools
import os

import pytest

from worldswitch.harness.contract import Access, AddressSpace, BadAddress, Fault, HostError, Syscall
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import Number, Program
from worldswitch.scenarios.stage.memory_guests import is_whole, reader, reads
from worldswitch.scenarios.stage.processes import mappings_of
from worldswitch.scenarios.stage.stage import PAGE, Guest, Stage
from worldswitch.scenarios.stage.steady_guests import outcome_of

DATA = Access.READ | Access.WRITE
GETPID = Syscall(Number.GETPID)

#: Offsets where 31, 32 or 33 bits, or those of a page number, end.
OFFSETS = tuple(offset for bits in (31, 32, 33, 40, 43) for offset in ((1 << bits) - PAGE, 1 << bits))
LENGTHS = (-1, 0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64)


# ------------------------------------------------------------------------------------------------------------- the file


@scenario("AS16", clauses=("seed.MapFile", "mmap(2)"))
def a_mapping_begins_at_its_offset_however_large(stage: Stage) -> None:
    """A mapping shows the file from its offset on, on both sides of each width that an offset might be cut to."""
    guest = reader(stage)
    memory = stage.memory(PAGE)
    os.ftruncate(memory.fd, OFFSETS[-1] + PAGE)
    for number, offset in enumerate(OFFSETS, start=1):
        os.pwrite(memory.fd, number.to_bytes(8, "little"), offset)
    address = stage.place(guest.space, PAGE)
    for number, offset in enumerate(OFFSETS, start=1):
        guest.space.map_file(address, memory.fd, offset, PAGE, Access.READ)
        assert reads(guest, address) == GETPID
        assert guest.state["rsi"] == number


@scenario("AS16", clauses=("seed.MapFile", "seed.W20", "mmap(2)"))
def offsets_and_descriptors_are_not_cut(stage: Stage) -> None:
    """An offset or descriptor that is none raises an error with its errno, and maps nothing in the place of another."""
    guest = reader(stage)
    memory = stage.memory(2 * PAGE)
    address = stage.place(guest.space, PAGE)
    offsets = {1: errno.EINVAL, PAGE - 1: errno.EINVAL, PAGE + 1: errno.EINVAL}
    offsets |= dict.fromkeys((-PAGE, 1 << 63, (1 << 64) - PAGE, 1 << 64, (1 << 64) + PAGE), errno.EOVERFLOW)
    descriptors = dict.fromkeys((-1, memory.fd + (1 << 31), memory.fd + (1 << 32), memory.fd + (1 << 64)), errno.EBADF)
    for file, offset, error in (
        *((memory.fd, offset, error) for offset, error in offsets.items()),
        *((file, 0, error) for file, error in descriptors.items()),
    ):
        with pytest.raises(HostError) as refusal:
            guest.space.map_file(address, file, offset, PAGE, Access.READ)
        assert refusal.value.errno == error
        assert isinstance(reads(guest, address), Fault)
    is_whole(guest)


# ----------------------------------------------------------------------------------------------------------- the ranges


@scenario("AS17", "K56", clauses=("seed.MapFile", "seed.Unmap", "kernel.M1"))
def each_range_is_mapped_or_refused_as_a_whole(stage: Stage) -> None:
    """Of the ranges at each boundary, those inside the guest's range are mapped, by whole pages, and others refused."""
    space = stage.inspect(stage.space())
    lowest, end = stage.platform.address_range
    memory = stage.memory(PAGE)
    before = _mapped(space.stub.pid)
    for address, length in itertools.product(_boundaries(stage, space), LENGTHS):
        outcome = outcome_of(lambda: space.map_file(address, memory.fd, 0, length, DATA))  # noqa: B023 (called at once)
        pages = -(-length // PAGE) * PAGE
        if length > 0 and address % PAGE == 0 and lowest <= address and address + pages <= end:
            assert outcome is None, f"{address:#x}, {length:#x}: {outcome!r}"
            assert _mapped(space.stub.pid) - before == set(range(address, address + pages, PAGE))
            space.unmap(address, length)
        else:
            assert isinstance(outcome, BadAddress), f"{address:#x}, {length:#x}: {outcome!r}"
        assert _mapped(space.stub.pid) == before


@scenario("AS17", "K56", clauses=("seed.Unmap", "kernel.M1"))
def each_range_is_unmapped_or_refused_as_a_whole(stage: Stage) -> None:
    """Of the ranges at each boundary, those below the guest's end are unmapped, by whole pages, and others refused."""
    space = stage.inspect(stage.space())
    lowest, end = stage.platform.address_range
    memory = stage.memory(PAGE)
    bare = _mapped(space.stub.pid)
    ends = (lowest, lowest + PAGE, lowest + 2 * PAGE, end - 3 * PAGE, end - 2 * PAGE, end - PAGE)
    for address, length in itertools.product(_boundaries(stage, space), LENGTHS):
        for place in ends:
            space.map_file(place, memory.fd, 0, PAGE, DATA)
        before = _mapped(space.stub.pid)
        assert before - bare == set(ends)
        outcome = outcome_of(lambda: space.unmap(address, length))  # noqa: B023 (called at once)
        pages = -(-length // PAGE) * PAGE
        if length > 0 and address % PAGE == 0 and address >= 0 and address + pages <= end:
            assert outcome is None, f"{address:#x}, {length:#x}: {outcome!r}"
            gone = {place for place in ends if address <= place < address + pages}
            assert _mapped(space.stub.pid) == before - gone
        else:
            assert isinstance(outcome, BadAddress), f"{address:#x}, {length:#x}: {outcome!r}"
            assert _mapped(space.stub.pid) == before


# ---------------------------------------------------------------------------------------------------------- last faults

#: Ranges beside a page, from its beginning in pages and bytes, and whether they have a part of it.
RANGES = {
    (0, 1): True,
    (0, PAGE - 1): True,
    (0, PAGE): True,
    (0, PAGE + 1): True,
    (-1, PAGE + 1): True,
    (-1, 2 * PAGE): True,
    (-1, 3 * PAGE): True,
    (-1, 1): False,
    (-1, PAGE): False,
    (1, 1): False,
    (1, PAGE): False,
    (-2, 2 * PAGE): False,
}
OFFSETS_OF_FAULTS = (0, 8, PAGE - 8)


@scenario("FT07", clauses=("seed.Unmap", "seed.Switch"))
@pytest.mark.parametrize("change", ["unmap", "map"])
def a_change_of_the_faulting_page_makes_the_next_fault_a_read(stage: Stage, change: str) -> None:
    """An unmap, or a mapping without access, of any range with a page of the last fault makes the next one a read."""
    guest = _faulting(stage, guests.read_at)
    for (page, length), includes in RANGES.items():
        for offset in OFFSETS_OF_FAULTS if includes else ():
            guest.state["rdi"] = place = stage.place(guest.space, 4 * PAGE) + 2 * PAGE + offset
            assert guest.run_to(Fault).access == Access.READ
            _change(stage, guest.space, change, place - offset + page * PAGE, length)
            assert guest.run_to(Fault).access == Access.READ


@scenario("FT07", clauses=("seed.Unmap", "seed.Switch"))
@pytest.mark.parametrize("change", ["unmap", "map"])
def a_change_beside_the_faulting_page_leaves_the_next_fault_a_write(stage: Stage, change: str) -> None:
    """A store faults as a write again after a change of a range that ends before its page, or begins behind it."""
    guest = _faulting(stage, guests.write_at)
    for (page, length), includes in RANGES.items():
        for offset in () if includes else OFFSETS_OF_FAULTS:
            guest.state["rdi"] = place = stage.place(guest.space, 4 * PAGE) + 2 * PAGE + offset
            guest.run_to(Fault)
            _change(stage, guest.space, change, place - offset + page * PAGE, length)
            assert guest.run_to(Fault).access == Access.WRITE


@scenario("FT07", clauses=("seed.Unmap", "seed.Switch", "seed.W26"))
def a_readable_mapping_of_any_kind_leaves_the_next_fault_a_write(stage: Stage) -> None:
    """A store faults as a write again after its page was mapped readable, executable too, or not."""
    guest = _faulting(stage, guests.write_at)
    for access in (Access.READ, Access.READ | Access.EXECUTE):
        for offset in OFFSETS_OF_FAULTS:
            guest.state["rdi"] = place = stage.place(guest.space, PAGE) + offset
            guest.run_to(Fault)
            stage.map(guest.space, stage.memory(PAGE), access, address=place - offset)
            assert guest.run_to(Fault).access == Access.WRITE


# -------------------------------------------------------------------------------------------------------------- helpers


def _boundaries(stage: Stage, space: AddressSpace) -> list[int]:
    """Addresses at both sides of each boundary."""
    lowest, end = stage.platform.address_range
    stub = stage.inspect(space).stub
    edges = (0, lowest, end, stub.begin, stub.end, 1 << 47, 1 << 56, 1 << 63, 1 << 64)
    addresses = {edge + step for edge in edges for step in (-2 * PAGE, -PAGE, -1, 0, 1, PAGE)}
    return sorted(addresses)


def _mapped(pid: int) -> set[int]:
    """Every page of the user's half that is mapped in a process."""
    ranges = [(mapping.begin, mapping.end) for mapping in mappings_of(pid) if mapping.begin < 1 << 63]
    return {page for begin, end in ranges for page in range(begin, end, PAGE)}


def _faulting(stage: Stage, program: Program) -> Guest:
    guest = stage.guest(program)
    guest.state["rsi"] = 0x1234
    return guest


def _change(stage: Stage, space: AddressSpace, change: str, address: int, length: int) -> None:
    if change == "unmap":
        space.unmap(address, length)
    else:
        memory = stage.memory(PAGE)
        space.map_file(address, memory.fd, 0, length, Access.NONE)
