"""Kernel registrations that a stub inherits from the thread that forked it, and that must have no effect.

The kernel keeps addresses that the C library registered for the thread, and writes to them in the stub, where that
memory is gone or belongs to a guest.  Seed: none; Go registers nothing of the kind.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import cast

from worldswitch.harness.contract import Access, AddressSpace, Interrupted, Platform
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage import thread_data
from worldswitch.scenarios.stage.deaths import kill, wait_until_gone
from worldswitch.scenarios.stage.pacing import await_progress, running
from worldswitch.scenarios.stage.processes import threads_of
from worldswitch.scenarios.stage.stage import PAGE, Guest, GuestPages, Stage
from worldswitch.scenarios.stage.steady_guests import Computing, outcome_of

# ------------------------------------------------------------------------------------------------ restartable sequences


@scenario("AS13", "K01", clauses=("kernel.M6", "seed.W7"), normal=5, soak=100)
def the_first_calls_of_a_new_stub_return(stage: Stage) -> None:
    """Three calls injected into a new address space return at once, without a fault in their place."""
    for _ in range(stage.trial.repeat):
        new = stage.bounded(partial(outcome_of, lambda: stage.space(_asked_for_its_pid(stage))), 3)
        assert not isinstance(new, Exception), f"no stub was made: {new!r}"
        space = stage.inspect(cast(AddressSpace, new))
        pid = space.stub.pid
        for _ in range(3):
            result = stage.bounded(partial(outcome_of, partial(space.inject, Number.GETPID)), 3)
            assert result == pid, f"an injected getpid returned {result!r}"


@scenario("AS13", "K05", clauses=("kernel.M6", "tcmalloc#292"))
def a_harness_without_rseq_needs_no_remedy(stage: Stage) -> None:
    """A harness without an rseq area can make and use address spaces."""
    stage.trial.note(f"unregistered an rseq area: {thread_data.forget_rseq()}")
    space = outcome_of(stage.space)
    assert not isinstance(space, Exception), f"no platform without rseq: {space!r}"
    with Computing(stage) as guest:
        _move_about(stage, guest)
        guest.ends_when_interrupted()


@scenario("AS13", "K02", clauses=("kernel.M6", "rseq(2)"), normal=3, soak=50)
def empty_guest_memory_where_threads_had_theirs_stays_empty(stage: Stage) -> None:
    """Zeroed guest memory at the address of the harness's thread descriptors stays zero."""
    for _ in range(stage.trial.repeat):
        _runs_over_descriptors(stage, 0x00)


@scenario("AS13", "K03", clauses=("kernel.M6", "rseq(2)"), normal=3, soak=50)
def garbage_in_guest_memory_where_threads_had_theirs_does_no_harm(stage: Stage) -> None:
    """Garbage in guest memory at the address of the harness's thread descriptors does not end the guest."""
    for _ in range(stage.trial.repeat):
        _runs_over_descriptors(stage, 0xFF)


# -------------------------------------------------------------------------------------------------- the end of a thread


@scenario("AS13", "K06", clauses=("kernel.M6", "set_tid_address(2)"), quick=3, normal=5, soak=100)
def a_dying_stub_clears_no_word_of_its_guest(stage: Stage) -> None:
    """The end of a stub's threads clears no word of guest memory at the harness's thread ids."""
    for _ in range(stage.trial.repeat):
        guest = stage.guest(guests.count_loop)
        memories = _cover_descriptors(stage, guest, 0x11)
        _die(stage, guest)
        _are_untouched(memories, 0x11)


@scenario("AS13", "K07", clauses=("kernel.M6", "set_robust_list(2)"), quick=3, normal=5, soak=100)
def a_dying_stub_marks_no_lock_of_its_guest(stage: Stage) -> None:
    """The end of a stub's threads marks no lock of guest memory at the harness's robust lists."""
    for _ in range(stage.trial.repeat):
        guest = stage.guest(guests.count_loop)
        tids = list(threads_of(stage.inspect(guest.space).stub.pid))
        locks = [_leave_locks(stage, guest, head, tids) for head in thread_data.robust_lists()]
        before = [memory[0 : memory.size] for memory in locks]
        _die(stage, guest)
        assert [memory[0 : memory.size] for memory in locks] == before, "the kernel marked a lock of a guest"


# ------------------------------------------------------------------------------------------------ the kernel's own code


@scenario("AS13", "K09", clauses=("kernel.M6", "vdso(7)"), quick=5, normal=20, soak=200)
def guest_code_where_the_vdso_was_is_the_guests(stage: Stage) -> None:
    """A guest interrupted in its own code at the vdso's old address finds no word changed."""
    canary = stage.memory(PAGE, b"\x5a" * PAGE)
    guest = stage.guest(guests.nop_page)
    pointers = _point_at(guest, stage.map(guest.space, canary))
    code = stage.memory(PAGE, guests.nop_page.code)
    for page in thread_data.vdso():
        stage.map(guest.space, code, Access.READ | Access.EXECUTE, address=page)
        guest.state.pc = page
        for _ in range(stage.trial.repeat):
            switching = running(stage, guest)
            await_progress(stage, guest)
            guest.context.interrupt()
            assert switching.result() == Interrupted()
            assert page <= guest.state.pc < page + PAGE
    assert canary[0:PAGE] == b"\x5a" * PAGE, "a word at a register of the guest changed"
    assert {name: guest.state[name] for name in pointers} == pointers


# -------------------------------------------------------------------------------------------------------------- helpers


def _asked_for_its_pid(stage: Stage) -> Platform:
    return stage.platform_with(injectable=(Number.GETPID,))


def _runs_over_descriptors(stage: Stage, filling: int) -> None:
    """Run a guest with this filling at the harness's thread descriptors, and check that it stays unchanged."""
    guest = stage.guest(guests.count_loop)
    memories = _cover_descriptors(stage, guest, filling)
    with Computing(stage, guest) as computing:
        # Check on every CPU: the number of CPU 0 cannot be told from zeroed memory.
        _move_about(stage, computing, lambda: _are_untouched(memories, filling))
        computing.ends_when_interrupted()
    _are_untouched(memories, filling)


def _cover_descriptors(stage: Stage, guest: Guest, filling: int) -> list[GuestPages]:
    """Guest memory at the address of each thread's descriptor in the harness."""
    memories = []
    for address in thread_data.descriptors():
        memory = stage.memory(thread_data.DESCRIPTOR_SIZE, bytes([filling]) * thread_data.DESCRIPTOR_SIZE)
        stage.map(guest.space, memory, address=address)
        memories.append(memory)
    return memories


def _are_untouched(memories: list[GuestPages], filling: int) -> None:
    for memory in memories:
        changed = [offset for offset, byte in enumerate(memory[0 : memory.size]) if byte != filling]
        assert not changed, f"bytes {changed} of the guest's memory were written"


def _leave_locks(stage: Stage, guest: Guest, head: int, tids: list[int]) -> GuestPages:
    """Guest memory at a thread's robust list, filled with a list of locks held by the stub's threads."""
    begin = head // PAGE * PAGE
    memory = stage.memory(2 * PAGE)
    contents = thread_data.robust_list(head, tids)
    memory[head - begin : head - begin + len(contents)] = contents
    stage.map(guest.space, memory, address=begin)
    return memory


def _die(stage: Stage, guest: Guest) -> None:
    """Kill the guest's stub while the guest runs, and wait until it is gone."""
    pid = stage.inspect(guest.space).stub.pid
    with Computing(stage, guest) as computing:
        kill(pid)
        computing.running.result()
    wait_until_gone(stage, pid)


def _move_about(stage: Stage, guest: Computing, look: Callable[[], None] = lambda: None) -> None:
    """Move the guest's stub from CPU to CPU; at each move the kernel writes to a registered rseq area."""
    for cpu in sorted(os.sched_getaffinity(0)) * 3:
        for tid in threads_of(guest.pid):
            os.sched_setaffinity(tid, {cpu})
        guest.computes_on(f"its move to CPU {cpu}")
        look()


def _point_at(guest: Guest, address: int) -> dict[str, int]:
    """Point every register that the guest does not use at a word of its own."""
    names = ("rax", "rcx", "rdx", "rsi", "rdi", "rbp", *(f"r{number}" for number in range(8, 16)))
    pointers = {name: address + 8 * index for index, name in enumerate(names)}
    for name, pointer in pointers.items():
        guest.state[name] = pointer
    return pointers
