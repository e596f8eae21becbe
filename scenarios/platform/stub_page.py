"""The stub's page: placed in any crowded address space, with nothing left above or below it, and its code protected.

Seed: stubInit, unmap.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from worldswitch.harness.contract import AddressSpace, Platform
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage.processes import mappings_of
from worldswitch.scenarios.stage.stage import PAGE, InspectableAddressSpace, Stage
from worldswitch.scenarios.stage.steady_guests import makes_calls, outcome_of

#: The end of user addresses with four-level paging, where platforms look for a place first.
TOP = (1 << 47) - PAGE

#: Too much memory to search page by page within a few seconds.
CROWD = 1 << 38

PROT_NONE, PROT_READ = 0, 1  # <asm-generic/mman-common.h>
MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS, MAP_NORESERVE = 0x02, 0x10, 0x20, 0x4000
MAP_FIXED_NOREPLACE = 0x100000  # Linux 4.17; before, a hint

PTRACE_POKEDATA = 5  # <linux/ptrace.h>

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.argtypes = (*[ctypes.c_size_t] * 2, *[ctypes.c_int] * 3, ctypes.c_long)
_libc.mmap.restype = ctypes.c_void_p
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)


# -------------------------------------------------------------------------------------------------------- where it lies


@scenario("AS04", clauses=("seed.unmap", "kernel.M1"))
def a_stub_with_nothing_above_it_can_be_emptied(stage: Stage) -> None:
    """A stub whose page is the last of the address space is emptied without an unmap of length 0, which is EINVAL."""
    platform = _started(stage)
    space = stage.inspect(stage.space(platform))
    stage.trial.note(f"above the stub's page there are {TOP - space.stub.end:#x} bytes")
    _is_empty(space)
    _is_recycled_empty(stage, platform, space)


@scenario("AS04", clauses=("seed.unmap", "seed.I5"))
def a_stub_with_room_above_it_is_emptied_there_too(stage: Stage) -> None:
    """What is mapped above the stub's page, by the harness or by the last owner, is unmapped too."""
    _occupy(TOP - 4 * PAGE, TOP)
    platform = _started(stage, injectable=(Number.MMAP,))
    space = stage.inspect(stage.space(platform))
    assert space.stub.end <= TOP - 4 * PAGE
    _is_empty(space)
    flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
    assert space.inject(Number.MMAP, TOP - PAGE, PAGE, PROT_READ, flags, (1 << 64) - 1, 0) == TOP - PAGE
    _is_recycled_empty(stage, platform, space)


@scenario("AS15", clauses=("gvisor bd7d1a738", "seed.stubStart"))
def a_place_is_found_soon_where_the_top_is_crowded(stage: Stage) -> None:
    """With hundreds of gigabytes reserved at the top of the harness, the platform starts within seconds."""
    _occupy(TOP - CROWD, TOP)
    platform = stage.bounded(partial(_started, stage), 3)
    space = stage.inspect(stage.space(platform))
    _is_empty(space)
    makes_calls(stage.guest(guests.getpid_loop, platform=platform, space=space), 3)


@scenario("K53", clauses=("seed.unmap", "kernel.M1"), needs="la57")
def what_lies_above_47_bits_is_emptied_too(stage: Stage) -> None:
    """With five-level paging, a mapping above 47 bits does not outlast its owner."""
    platform = _started(stage, injectable=(Number.MMAP,))
    space = stage.inspect(stage.space(platform))
    flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
    for address in (1 << 47, 1 << 52, (1 << 56) - 2 * PAGE):
        assert space.inject(Number.MMAP, address, PAGE, PROT_READ, flags, (1 << 64) - 1, 0) == address
    _is_recycled_empty(stage, platform, space)


# -------------------------------------------------------------------------------------------------------- what is in it


@scenario("AS05", clauses=("gvisor 108410638", "seed.stubStart"))
def the_stubs_code_is_the_same_in_all_and_stays_so(stage: Stage) -> None:
    """The stub's code is the same, readable and executable page in every stub, whether new, used or recycled."""
    spaces = [stage.inspect(stage.space()) for _ in range(3)]
    code = _code(spaces[0])
    for space in spaces:
        makes_calls(stage.guest(guests.getpid_loop, space=space), 3)
        assert _code(space) == code
        assert [m.permissions[:3] for m in mappings_of(space.stub.pid) if m.begin == space.stub.begin] == ["r-x"]
        space.release()
    for space in [stage.inspect(stage.space()) for _ in range(4)]:
        assert _code(space) == code, "the code of a recycled stub changed"


@scenario("AS05", "K60", clauses=("kernel.W1", "proc(5)", "rr#4093"))
def a_change_to_one_stubs_code_is_none_to_the_others(stage: Stage) -> None:
    """A debugger's write to the code of one stub, by any way the host allows, changes no other stub's code."""
    changed, other = stage.guest(guests.getpid_loop), stage.guest(guests.getpid_loop)
    makes_calls(changed, 1)
    before = _code(stage.inspect(other.space))
    space = stage.inspect(changed.space)
    for writer, run in (("the tracing thread", _here), ("another thread", lambda write: stage.thread(write).result())):
        for way, write in (("/proc/PID/mem", _write_by_file), ("PTRACE_POKEDATA", _write_by_request)):
            stage.trial.note(f"{way} by {writer}: {run(partial(write, space)) or 'written'}")
    assert _code(stage.inspect(other.space)) == before
    assert _code(stage.inspect(stage.space())) == before
    for guest in (changed, other):
        makes_calls(guest, 3)


# -------------------------------------------------------------------------------------------------------------- helpers


def _started(stage: Stage, injectable: tuple[int, ...] = ()) -> Platform:
    platform = outcome_of(partial(stage.platform_with, injectable=injectable))
    assert not isinstance(platform, Exception), f"the platform does not start: {platform!r}"
    return platform  # type: ignore[return-value]


def _occupy(begin: int, end: int) -> None:
    """Reserve the free parts of a range in this process, without the space that its stack needs."""
    _use_stack(200)
    for mapping in reversed([mapping for mapping in mappings_of(os.getpid()) if mapping.begin < end]):
        _reserve(max(begin, mapping.end), end)
        end = max(begin, mapping.begin)


def _use_stack(depth: int) -> int:
    """Grow the stack in C beforehand, since reserved memory below would prevent it."""
    return depth and sorted([depth], key=lambda _: _use_stack(depth - 1))[0]


def _reserve(begin: int, end: int) -> None:
    """Reserve a range, in halves where memory is in use."""
    if begin >= end:
        return
    flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE
    if _libc.mmap(begin, end - begin, PROT_NONE, flags, -1, 0) == begin:
        return
    if ctypes.get_errno() != errno.EEXIST:
        raise OSError(ctypes.get_errno(), f"reserving {begin:#x}-{end:#x}")
    if end - begin > PAGE:
        middle = begin + (end - begin) // PAGE // 2 * PAGE
        _reserve(begin, middle)
        _reserve(middle, end)


def _is_empty(space: InspectableAddressSpace) -> None:
    stub = space.stub
    foreign = [m for m in mappings_of(stub.pid) if not stub.begin <= m.begin < stub.end and m.name != "[vsyscall]"]
    assert foreign == []


def _is_recycled_empty(stage: Stage, platform: Platform, space: AddressSpace) -> None:
    space.release()
    _is_empty(stage.inspect(stage.space(platform)))


def _code(space: InspectableAddressSpace) -> bytes:
    """The stub's page."""
    stub = space.stub
    with Path(f"/proc/{stub.pid}/mem").open("rb") as memory:
        memory.seek(stub.begin)
        return memory.read(stub.end - stub.begin)


def _here(write: Callable[[], str]) -> str:
    return write()


def _write_by_file(space: InspectableAddressSpace) -> str:
    """Write the last byte of the stub's page through /proc/PID/mem; the kernel's error, if any."""
    try:
        memory = os.open(f"/proc/{space.stub.pid}/mem", os.O_WRONLY)
        try:
            os.pwrite(memory, b"\xcc", space.stub.end - 1)
        finally:
            os.close(memory)
    except OSError as refusal:
        return str(refusal)
    return ""


def _write_by_request(space: InspectableAddressSpace) -> str:
    """Write the last word of the stub's page by ptrace; the kernel's error, if any."""
    refusals = []
    for tid in space.stub.tids:
        if _libc.ptrace(PTRACE_POKEDATA, tid, space.stub.end - 8, 0x0123_4567) == 0:
            return ""
        refusals.append(os.strerror(ctypes.get_errno()))
    return refusals[-1]
