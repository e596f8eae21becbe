"""The host's limits on memory: the lowest address, the number of mappings, and the resident size."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from worldswitch.harness.contract import Access, BadAddress, HostError, StubDied, Syscall
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage import children
from worldswitch.scenarios.stage.cgroups import group_of
from worldswitch.scenarios.stage.confinement import become_nobody
from worldswitch.scenarios.stage.expected_errors import refused
from worldswitch.scenarios.stage.memory_guests import is_whole, reader
from worldswitch.scenarios.stage.processes import mappings_of, resident
from worldswitch.scenarios.stage.senders import CATCHABLE, SignalSender
from worldswitch.scenarios.stage.stage import PAGE, Guest, GuestPages, InspectableAddressSpace, Stage
from worldswitch.scenarios.stage.steady_guests import makes_calls, outcome_of

DATA = Access.READ | Access.WRITE

PIDFD_OPEN, PROCESS_MADVISE = 434, 440  # asm/unistd_64.h
MADV_DONTFORK = 10  # <asm-generic/mman-common.h>

#: The most ranges of one process_madvise: UIO_MAXIOV, <linux/uio.h>.
RANGES = 1024

#: The memory limit of a control group.
GROUP_MEMORY = 1 << 22

MAX_MAP_COUNT = Path("/proc/sys/vm/max_map_count")


# -------------------------------------------------------------------------------------------------------------- how low


@scenario("AS10", clauses=("kernel.M4", "seed.MapFile"))
def low_addresses_are_refused_before_the_host_does(stage: Stage) -> None:
    """A mapping below the platform's address range raises `BadAddress`, and the range's lowest page can be mapped."""
    _maps_from_its_lowest_address(stage)


@scenario("AS10", clauses=("kernel.M4", "seed.MapFile"), needs="other_user")
def low_addresses_are_refused_to_users_too(stage: Stage) -> None:
    """A user without privileges can map the lowest page of the platform's range, despite vm.mmap_min_addr."""

    def work(_: children.Line) -> None:
        become_nobody()
        _maps_from_its_lowest_address(stage)

    children.run(stage, work, 10)


def _maps_from_its_lowest_address(stage: Stage) -> None:
    guest = reader(stage)
    lowest = -(-stage.platform.address_range[0] // PAGE) * PAGE
    for address in {0, PAGE, lowest - PAGE} if lowest else ():
        if address < lowest:
            refused(partial(guest.space.map_file, address, guest.data.fd, 0, PAGE, DATA), BadAddress)
    refused(partial(guest.space.map_file, 0, guest.data.fd, 0, lowest + PAGE, DATA), BadAddress)
    outcome = outcome_of(partial(stage.map, guest.space, stage.memory(PAGE, b"low"), address=lowest))
    assert outcome == lowest, f"the lowest address, {lowest:#x}, cannot be mapped: {outcome!r}"
    _reads(guest, lowest, int.from_bytes(b"low", "little"))


# ------------------------------------------------------------------------------------------------------ how many pieces


@scenario("AS11", "K55", clauses=("kernel.M5", "seed.W20", "proc_sys_vm(5)"), needs="process_madvise max_map_count")
def one_mapping_too_many_is_an_error_that_changes_nothing(stage: Stage) -> None:
    """At the limit of mappings, an unmap that needs one more raises ENOMEM and changes nothing."""
    platform = stage.platform_with(injectable=(PIDFD_OPEN, PROCESS_MADVISE, Number.GETPID))
    guest = reader(stage, platform)
    space = stage.inspect(guest.space)
    memory = stage.memory(3 * PAGE)
    for page in range(3):
        memory.set_word(page * PAGE, 10 + page)
    address = stage.map(space, memory)
    crowd, crowded = _crowd(stage, space)
    middle = address + PAGE
    _is_out_of_memory(partial(space.unmap, middle, PAGE))
    _is_out_of_memory(partial(space.map_file, middle, guest.data.fd, 0, PAGE, DATA))
    for page in range(3):
        _reads(guest, address + page * PAGE, 10 + page)
    space.unmap(crowd, crowded)
    space.unmap(middle, PAGE)
    _reads(guest, address, 10)


@scenario("AS11", "K55", clauses=("kernel.M5", "seed.Release"), needs="process_madvise max_map_count")
def a_space_in_too_many_pieces_is_given_back_whole(stage: Stage) -> None:
    """A space released at the limit of mappings is emptied or ended, and its next owner finds nothing in it."""
    platform = stage.platform_with(injectable=(PIDFD_OPEN, PROCESS_MADVISE, Number.GETPID))
    space = stage.inspect(stage.space(platform))
    _crowd(stage, space)
    outcome_of(space.release)
    after = stage.inspect(stage.space(platform))
    assert len(mappings_of(after.stub.pid)) <= 2, "the last owner's memory is left"
    makes_calls(stage.guest(guests.getpid_loop, space=after, platform=platform), 3)


def _crowd(stage: Stage, space: InspectableAddressSpace) -> tuple[int, int]:
    """Split a mapping into as many pieces as the host allows; its address and length."""
    limit = int(MAX_MAP_COUNT.read_text())
    memory, lists = stage.memory((limit + 2 * RANGES) * PAGE), stage.memory(16 * RANGES)
    address, ranges = stage.map(space, memory), stage.map(space, lists)
    us = space.inject(PIDFD_OPEN, space.inject(Number.GETPID), 0)
    for pages in _every_second(address, memory):
        lists[0 : 16 * RANGES] = struct.pack(f"={2 * RANGES}Q", *(word for page in pages for word in (page, PAGE)))
        advised = outcome_of(partial(space.inject, PROCESS_MADVISE, us, ranges, RANGES, MADV_DONTFORK, 0))
        if advised != RANGES * PAGE:
            break
    return address, memory.size


def _every_second(address: int, memory: GuestPages) -> Iterator[range]:
    step = 2 * RANGES * PAGE
    for begin in range(address, address + memory.size - step + 1, step):
        yield range(begin + PAGE, begin + step, 2 * PAGE)


def _is_out_of_memory(operation: partial[None]) -> None:
    outcome = outcome_of(operation)
    assert isinstance(outcome, HostError), f"at the limit of mappings, an unmap gave {outcome!r}"
    assert outcome.errno == errno.ENOMEM, f"refused with {outcome}"


# ------------------------------------------------------------------------------------------------------- how much of it


@scenario("AS09", "K62", clauses=("seed.MapFile", "mmap(2) MAP_POPULATE"), quick=3, normal=20, soak=500)
def precommitting_is_complete_in_a_storm_of_signals(stage: Stage) -> None:
    """Signals that arrive during a precommitting mapping neither change its outcome nor leave it incomplete."""
    guest = reader(stage)
    space = stage.inspect(guest.space)
    space.unmap(stage.map(space, stage.memory(PAGE)), PAGE)
    memory = stage.memory(1 << 22)
    address = stage.place(space, memory.size)
    with SignalSender() as other, other.storm(space.stub.pid, CATCHABLE):
        for _ in range(stage.trial.repeat):
            outcome = outcome_of(partial(stage.map, space, memory, address=address, precommit=True))
            assert outcome == address, f"precommitting ended with {outcome!r}"
            assert resident(space.stub.pid, address) == memory.size
            space.unmap(address, memory.size)


@scenario("AS09", "K62", clauses=("seed.MapFile", "mmap(2) MAP_POPULATE", "gvisor#2520"), needs="memcg", soak=10)
def precommitting_more_than_there_is_is_not_reported_as_done(stage: Stage) -> None:
    """Precommitting more memory than the control group has raises an error or kills the stub, and other stubs live."""
    for _ in range(stage.trial.repeat):
        neighbour, space = reader(stage), stage.inspect(stage.space())
        memory = stage.memory(2 * GROUP_MEMORY)
        with group_of("memory") as group:
            group.set({"memory.max": GROUP_MEMORY, "memory.limit_in_bytes": GROUP_MEMORY})
            group.add(space.stub.pid)
            outcome = outcome_of(partial(stage.map, space, memory, precommit=True))
        assert isinstance(outcome, HostError | StubDied), (
            f"only part of it can be resident, but the result was {outcome}"
        )
        is_whole(neighbour)


# -------------------------------------------------------------------------------------------------------------- helpers


def _reads(guest: Guest, address: int, expected: int) -> None:
    guest.state.pc, guest.state["rdi"] = guest.code, address
    assert guest.switch() == Syscall(Number.GETPID)
    assert guest.state["rsi"] == expected
