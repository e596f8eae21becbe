"""Address spaces: what a new one contains, what a mapping changes, and what a running guest sees of it.

Seed: subprocess.MapFile, Unmap, unmap, Release.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import select
import signal

from worldswitch.harness.contract import Access, Fault, Interrupted, PlatformError, Syscall
from worldswitch.harness.verdict import in_time
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage.memory_guests import is_whole, reader, writer
from worldswitch.scenarios.stage.processes import MemoryMapping, mappings_of, resident
from worldswitch.scenarios.stage.stage import PAGE, Guest, InspectableAddressSpace, Stage

DATA = Access.READ | Access.WRITE

#: The kernel's half begins here; it has the vsyscall page, which no process can unmap.
KERNEL_HALF = 1 << 63


# -------------------------------------------------------------------------------------------------------- what is there


@scenario("AS06", "K59", clauses=("seed.unmap", "kernel.M1"))
def a_new_address_space_is_empty(stage: Stage) -> None:
    """A new address space has nothing mapped except the stub's own code."""
    for _ in range(3):
        space = stage.inspect(stage.space())
        assert _foreign(space) == []


@scenario("AS06", clauses=("seed.Release", "kernel.M1"))
def a_recycled_address_space_is_empty(stage: Stage) -> None:
    """A recycled address space contains nothing of its last owner's memory."""
    begin, end = stage.platform.address_range
    for _ in range(3):
        guest = writer(stage)
        space = stage.inspect(guest.space)
        for address in (-(-begin // PAGE) * PAGE, 0x7F00_0000_0000, end - PAGE):
            stage.map(space, stage.memory(PAGE), address=address)
        assert len(_foreign(space)) >= 6
        space.release()
        assert _foreign(stage.inspect(stage.space())) == []


@scenario("AS06", clauses="seed.unmap")
def a_guest_sees_nothing_of_the_harness(stage: Stage) -> None:
    """A guest that reads where the harness has something mapped faults."""
    guest = stage.guest(guests.read_at)
    space = stage.inspect(guest.space)
    occupied = [(mapping.begin, mapping.end) for mapping in mappings_of(space.stub.pid)]
    ours = [mapping.begin for mapping in mappings_of(os.getpid()) if mapping.begin < KERNEL_HALF]
    visible = [address for address in ours if not any(begin <= address < end for begin, end in occupied)]
    assert len(visible) > 20
    for address in visible[:: max(1, len(visible) // 100)]:
        guest.state["rdi"] = address
        assert guest.run_to(Fault).address == address


@scenario("AS06", "K59", clauses=("seed.unmap", "vdso(7)"))
def the_kernels_own_pages_are_gone_too(stage: Stage) -> None:
    """The vdso and vvar pages are not mapped in a guest."""
    guest = stage.guest(guests.read_at)
    begins = [mapping.begin for mapping in mappings_of(os.getpid()) if mapping.name.startswith(("[vdso", "[vvar"))]
    for address in begins:
        guest.state["rdi"] = address
        assert guest.run_to(Fault).address == address
    guest.enter(guests.read_counter)
    stage.trial.note(f"rdtsc: {'a value' if guest.switch() == Syscall(Number.GETPID) else 'a fault'}")


@scenario("AS07", clauses="seed.MapFile")
def a_file_opened_after_the_stub_began_can_be_mapped(stage: Stage) -> None:
    """A file made after the stub can be mapped, and stays mapped after the harness closes it."""
    guest = reader(stage)
    guest.switch()
    for count in range(5):
        memory = stage.memory(PAGE)
        memory.set_word(0, count)
        descriptor, address = os.dup(memory.fd), stage.place(guest.space, PAGE)
        guest.space.map_file(address, descriptor, 0, PAGE, Access.READ)
        os.close(descriptor)
        guest.state.pc, guest.state["rdi"] = guest.code, address
        assert guest.switch() == Syscall(Number.GETPID)
        assert guest.state["rsi"] == count


@scenario("AS07", clauses="seed.MapFile")
def guests_and_the_harness_share_what_is_mapped(stage: Stage) -> None:
    """A write by a guest, by another address space or by the harness is visible to the others that map the file."""
    memory = stage.memory(PAGE)
    writer = stage.guest(guests.write_at, rsi=0xABCD)
    writer.state["rdi"] = stage.map(writer.space, memory)
    writer.run_to(Syscall)
    assert memory.word() == 0xABCD
    reader = stage.guest(guests.read_at)
    reader.state["rdi"] = stage.map(reader.space, memory, Access.READ)
    reader.run_to(Syscall)
    assert reader.state["rsi"] == 0xABCD


@scenario("AS07", clauses="seed.MapFile")
def a_mapping_begins_at_its_offset(stage: Stage) -> None:
    """A mapping shows the file from its offset, for its length, and nothing else."""
    guest = reader(stage)
    memory = stage.memory(4 * PAGE)
    for page in range(4):
        memory.set_word(page * PAGE, 100 + page)
    address = stage.place(guest.space, 2 * PAGE)
    guest.space.map_file(address, memory.fd, PAGE, 2 * PAGE, Access.READ)
    for page in range(2):
        guest.state.pc, guest.state["rdi"] = guest.code, address + page * PAGE
        assert guest.switch() == Syscall(Number.GETPID)
        assert guest.state["rsi"] == 101 + page
    guest.state.pc, guest.state["rdi"] = guest.code, address + 2 * PAGE
    assert guest.run_to(Fault).address == address + 2 * PAGE


@scenario("AS08", clauses="seed.MapFile")
def a_mapping_replaces_what_is_there(stage: Stage) -> None:
    """A mapping over another replaces it at once and wholly."""
    guest = reader(stage)
    address = stage.place(guest.space, PAGE)
    guest.state["rdi"] = address
    for count in range(5):
        memory = stage.memory(PAGE)
        memory.set_word(0, count)
        stage.map(guest.space, memory, address=address)
        guest.state.pc = guest.code
        assert guest.switch() == Syscall(Number.GETPID)
        assert guest.state["rsi"] == count


@scenario("AS08", clauses="seed.MapFile")
def a_mapping_replaces_only_its_range(stage: Stage) -> None:
    """A mapping over the middle of three pages leaves the other two unchanged."""
    guest = reader(stage)
    old, new = stage.memory(3 * PAGE), stage.memory(PAGE)
    for page in range(3):
        old.set_word(page * PAGE, 10 + page)
    new.set_word(0, 99)
    address = stage.map(guest.space, old)
    stage.map(guest.space, new, address=address + PAGE)
    for page, expected in enumerate((10, 99, 12)):
        guest.state.pc, guest.state["rdi"] = guest.code, address + page * PAGE
        assert guest.switch() == Syscall(Number.GETPID)
        assert guest.state["rsi"] == expected


@scenario("AS08", clauses="seed.MapFile")
def a_mapping_replaces_the_access_too(stage: Stage) -> None:
    """Mapping the same file again with less or more access takes the access away or adds it."""
    guest = writer(stage)
    guest.switch()
    stage.map(guest.space, guest.data, Access.READ, address=guest.data_address)
    guest.state.pc = guest.code
    assert guest.run_to(Fault).address == guest.data_address
    stage.map(guest.space, guest.data, DATA, address=guest.data_address)
    is_whole(guest)


@scenario("AS09", clauses="seed.MapFile")
def a_precommitted_mapping_is_resident(stage: Stage) -> None:
    """With `precommit` every page is in the stub's page tables when the call returns; without, none is."""
    space = stage.inspect(stage.space())
    memory = stage.memory(16 * PAGE, b"x" * 16 * PAGE)
    eager = stage.map(space, memory, precommit=True)
    lazy = stage.map(space, memory)
    assert resident(space.stub.pid, eager) == 16 * PAGE
    assert resident(space.stub.pid, lazy) == 0


@scenario("AS09", clauses="seed.MapFile")
def a_precommitted_mapping_is_the_file(stage: Stage) -> None:
    """A precommitted mapping and its file show each other's contents."""
    guest = stage.guest(guests.increment_at)
    memory = stage.memory(PAGE)
    memory.set_word(0, 41)
    guest.state["rdi"] = stage.map(guest.space, memory, precommit=True)
    assert guest.switch() == Syscall(Number.GETPID)
    assert memory.word() == 42


@scenario("AS07", clauses=("seed.createStub", "clone(2) CLONE_FILES"))
def a_stub_keeps_no_file_open(stage: Stage) -> None:
    """A stub holds no copy of a file that the harness has open."""
    reading, writing = os.pipe()
    assert _foreign(stage.inspect(stage.space())) == []
    os.close(writing)
    ended = select.select([reading], [], [], stage.trial.seconds(2))[0]
    in_time(ended, "a stub keeps the other end of a pipe open")
    assert os.read(reading, 1) == b""


# -------------------------------------------------------------------------------------------------------- while it runs


@scenario("AS12", "K61", clauses=("seed.Unmap", "test TestInvalidate"), quick=3, normal=20, soak=500)
def unmapping_under_a_running_guest_is_a_clean_fault(stage: Stage) -> None:
    """A guest that reads a page in a loop faults on it after an unmap, and continues once it is mapped again."""
    guest = stage.guest(guests.read_loop)
    memory = stage.memory(PAGE)
    address = guest.state["rdi"] = stage.map(guest.space, memory)
    for round_ in range(stage.trial.repeat):
        memory.set_word(0, round_)
        running = stage.thread(guest.switch)
        _progresses(stage, guest)
        guest.space.unmap(address, PAGE)
        fault = running.result()
        assert isinstance(fault, Fault)
        assert (fault.signo, fault.address, fault.access) == (signal.SIGSEGV, address, Access.READ)
        assert guest.state.pc == guest.code
        assert guest.state["rsi"] == round_
        stage.map(guest.space, memory, address=address)


@scenario("AS12", clauses=("seed.MapFile", "test TestInvalidate"), quick=3, normal=20, soak=500)
def replacing_under_a_running_guest_is_seen_by_it(stage: Stage) -> None:
    """A guest that writes to a page in a loop writes to the new file once that is mapped, and not to the old one."""
    guest = stage.guest(guests.write_loop)
    memories = [stage.memory(PAGE) for _ in range(stage.trial.repeat + 1)]
    address = guest.state["rdi"] = stage.map(guest.space, memories[0])
    running = stage.thread(guest.switch)
    for old, new in itertools.pairwise(memories):
        stage.wait_until(old.word, claim="the guest writes to what is mapped")
        stage.map(guest.space, new, address=address)
        last = old.word()
        stage.wait_until(new.word, claim="the guest writes to what was mapped over it")
        assert old.word() == last
    guest.context.interrupt()
    assert running.result() == Interrupted()


@scenario("AS12", clauses=("seed.Unmap", "test TestInvalidate"))
def changes_elsewhere_do_not_disturb_a_running_guest(stage: Stage) -> None:
    """Mappings elsewhere in its address space neither stop a running guest nor change what it computes."""
    guest = stage.guest(guests.count_loop)
    running = stage.thread(guest.switch)
    for _ in range(50):
        address = stage.map(guest.space, stage.memory(PAGE))
        guest.space.unmap(address, PAGE)
    _progresses(stage, guest)
    guest.context.interrupt()
    assert running.result() == Interrupted()
    assert guest.state["r12"] - guest.data.word() in (0, 1)


@scenario("AS13", clauses=("kernel.M6", "syzkaller#3869"), quick=20, normal=100, soak=1000)
def a_stub_survives_the_c_librarys_rseq(stage: Stage) -> None:
    """The C library's rseq registration does not kill a preempted stub whose memory is unmapped."""
    _note_rseq(stage)
    guest = _survivor(stage)
    for _ in range(stage.trial.repeat):
        running = stage.thread(guest.switch)
        _progresses(stage, guest)
        guest.context.interrupt()
        assert running.result() == Interrupted()
        assert guest.state["r12"] - guest.data.word() in (0, 1)


@scenario("AS13", "K04", clauses=("kernel.M6", "syzkaller#3869"))
def a_stub_moves_between_processors_in_spite_of_rseq(stage: Stage) -> None:
    """A guest moved from one CPU to another continues, though the kernel then writes to any registered rseq area."""
    _note_rseq(stage)
    guest = _survivor(stage)
    stub = stage.inspect(guest.space).stub
    running = stage.thread(guest.switch)
    _progresses(stage, guest)
    for cpu in sorted(os.sched_getaffinity(0)) * 10:
        for tid in stage.inspect(guest.space).stub.tids:
            os.sched_setaffinity(tid, {cpu})
        _progresses(stage, guest)
    guest.context.interrupt()
    assert running.result() == Interrupted()
    assert stage.inspect(guest.space).stub.pid == stub.pid


# -------------------------------------------------------------------------------------------------------------- helpers


def _progresses(stage: Stage, guest: Guest) -> None:
    """Wait until the guest, which runs in another thread, makes progress."""
    before = guest.data.word()
    stage.wait_until(lambda: guest.data.word() > before, claim="the guest computes")


def _foreign(space: InspectableAddressSpace) -> list[MemoryMapping]:
    """The mappings of the stub's process, without its own code and the vsyscall page."""
    stub = space.stub
    return [
        mapping
        for mapping in mappings_of(stub.pid)
        if not (stub.begin <= mapping.begin and mapping.end <= stub.end) and mapping.begin < KERNEL_HALF
    ]


def _survivor(stage: Stage) -> Guest:
    """A guest whose stub survived its creation."""
    try:
        return stage.guest(guests.count_loop)
    except PlatformError as death:
        raise AssertionError(f"no stub survived its creation: {death}") from death


def _note_rseq(stage: Stage) -> None:
    """Note whether the C library registers an rseq area for each thread (glibc does since 2.35)."""
    try:
        size = ctypes.c_uint.in_dll(ctypes.CDLL(None), "__rseq_size").value
    except ValueError:
        size = 0
    stage.trial.note(f"the C library's rseq area: {size} bytes" if size else "the C library registers no rseq area")
