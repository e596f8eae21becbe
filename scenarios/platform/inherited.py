"""What a forked stub has from the thread that forked it, and the kernel still believes: nothing of it may matter.

The kernel keeps addresses that the C library told it for that thread, and goes on writing to them in the stub, where
the memory is gone or, worse, a guest's.  Seed: none; Go registers nothing of the kind.
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
from worldswitch.scenarios.stage.stage import PAGE, Guest, Memory, Stage
from worldswitch.scenarios.stage.steady_guests import Computing, outcome_of

# ----------------------------------------------------------------------------------------------- restartable sequences


@scenario("AS13", "K01", clauses=("kernel.M6", "seed.W7"), normal=5, soak=100)
def the_first_calls_of_a_new_stub_return(stage: Stage) -> None:
    """Three system calls injected into a new address space return at once: no fault comes in their place, for ever."""
    for _ in range(stage.trial.repeat):
        new = stage.bounded(partial(outcome_of, lambda: stage.space(_asked_for_its_pid(stage))), 3)
        assert not isinstance(new, Exception), f"no stub came to be: {new!r}"
        space = stage.inspect(cast(AddressSpace, new))
        pid = space.stub.pid
        for _ in range(3):
            result = stage.bounded(partial(outcome_of, partial(space.inject, Number.GETPID)), 3)
            assert result == pid, f"an injected getpid returned {result!r}"


@scenario("AS13", "K05", clauses=("kernel.M6", "tcmalloc#292"))
def a_harness_without_rseq_needs_no_remedy(stage: Stage) -> None:
    """Where no thread has a restartable-sequence area, which shows the others' cause, all works the same."""
    stage.trial.note(f"had an rseq area: {thread_data.forget_rseq()}")
    space = outcome_of(stage.space)
    assert not isinstance(space, Exception), f"no platform without rseq: {space!r}"
    with Computing(stage) as guest:
        _move_about(stage, guest)
        guest.ends_when_interrupted()


@scenario("AS13", "K02", clauses=("kernel.M6", "rseq(2)"), normal=3, soak=50)
def empty_guest_memory_where_threads_had_theirs_stays_empty(stage: Stage) -> None:
    """Memory a guest has where the C library keeps its threads is written to by nobody: no CPU's number appears."""
    for _ in range(stage.trial.repeat):
        _runs_over_descriptors(stage, 0x00)


@scenario("AS13", "K03", clauses=("kernel.M6", "rseq(2)"), normal=3, soak=50)
def garbage_in_guest_memory_where_threads_had_theirs_does_no_harm(stage: Stage) -> None:
    """Nor is what stands there acted upon, which would end the guest by a SIGSEGV that is none of its own."""
    for _ in range(stage.trial.repeat):
        _runs_over_descriptors(stage, 0xFF)


# ------------------------------------------------------------------------------------------------- the end of a thread


@scenario("AS13", "K06", clauses=("kernel.M6", "set_tid_address(2)"), quick=3, normal=5, soak=100)
def a_dying_stub_clears_no_word_of_its_guest(stage: Stage) -> None:
    """When a stub's threads end, nothing is written where the C library keeps the harness's thread ids."""
    for _ in range(stage.trial.repeat):
        guest = stage.guest(guests.count_loop)
        memories = _cover_descriptors(stage, guest, 0x11)
        _die(stage, guest)
        _are_untouched(memories, 0x11)


@scenario("AS13", "K07", clauses=("kernel.M6", "set_robust_list(2)"), quick=3, normal=5, soak=100)
def a_dying_stub_marks_no_lock_of_its_guest(stage: Stage) -> None:
    """When a stub's threads end, words that look like locks they hold, where the harness has its list, stay as is."""
    for _ in range(stage.trial.repeat):
        guest = stage.guest(guests.count_loop)
        tids = list(threads_of(stage.inspect(guest.space).stub.pid))
        locks = [_leave_locks(stage, guest, head, tids) for head in thread_data.robust_lists()]
        before = [memory[0 : memory.size] for memory in locks]
        _die(stage, guest)
        assert [memory[0 : memory.size] for memory in locks] == before, "the kernel marked a lock that is a guest's"


# ------------------------------------------------------------------------------------------------ the kernel's own code


@scenario("AS13", "K09", clauses=("kernel.M6", "vdso(7)"), quick=5, normal=20, soak=200)
def guest_code_where_the_vdso_was_is_the_guests(stage: Stage) -> None:
    """A guest that is interrupted in code of its own at the vdso's old address finds no word changed for that."""
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
    assert canary[0:PAGE] == b"\x5a" * PAGE, "a word was changed that a register of the guest points at"
    assert {name: guest.state[name] for name in pointers} == pointers


# -------------------------------------------------------------------------------------------------------------- helpers


def _asked_for_its_pid(stage: Stage) -> Platform:
    return stage.platform_with(injectable=(Number.GETPID,))


def _runs_over_descriptors(stage: Stage, filling: int) -> None:
    """A guest with this in its memory, where descriptors are in the harness, runs undisturbed and leaves it alone."""
    guest = stage.guest(guests.count_loop)
    memories = _cover_descriptors(stage, guest, filling)
    with Computing(stage, guest) as computing:
        # Looked at on every CPU: the number of the first is zero, and cannot be told from empty memory.
        _move_about(stage, computing, lambda: _are_untouched(memories, filling))
        computing.ends_when_interrupted()
    _are_untouched(memories, filling)


def _cover_descriptors(stage: Stage, guest: Guest, filling: int) -> list[Memory]:
    """Guest memory at the address of each thread's descriptor in the harness."""
    memories = []
    for address in thread_data.descriptors():
        memory = stage.memory(thread_data.DESCRIPTOR_SIZE, bytes([filling]) * thread_data.DESCRIPTOR_SIZE)
        stage.map(guest.space, memory, address=address)
        memories.append(memory)
    return memories


def _are_untouched(memories: list[Memory], filling: int) -> None:
    for memory in memories:
        changed = [offset for offset, byte in enumerate(memory[0 : memory.size]) if byte != filling]
        assert not changed, f"bytes {changed} of the guest's memory were written to"


def _leave_locks(stage: Stage, guest: Guest, head: int, tids: list[int]) -> Memory:
    """Guest memory at a thread's list of locks, with a list in it whose locks the stub's threads hold."""
    begin = head // PAGE * PAGE
    memory = stage.memory(2 * PAGE)
    contents = thread_data.robust_list(head, tids)
    memory[head - begin : head - begin + len(contents)] = contents
    stage.map(guest.space, memory, address=begin)
    return memory


def _die(stage: Stage, guest: Guest) -> None:
    """Kill the guest's stub while the guest runs, and see it gone."""
    pid = stage.inspect(guest.space).stub.pid
    with Computing(stage, guest) as computing:
        kill(pid)
        computing.running.result()
    wait_until_gone(stage, pid)


def _move_about(stage: Stage, guest: Computing, look: Callable[[], None] = lambda: None) -> None:
    """Have the guest's stub moved from CPU to CPU, at each of which moves the kernel writes to an rseq area."""
    for cpu in sorted(os.sched_getaffinity(0)) * 3:
        for tid in threads_of(guest.pid):
            os.sched_setaffinity(tid, {cpu})
        guest.computes_on(f"its being moved to CPU {cpu}")
        look()


def _point_at(guest: Guest, address: int) -> dict[str, int]:
    """Have every register the guest has no use for point at a word of its own."""
    names = ("rax", "rcx", "rdx", "rsi", "rdi", "rbp", *(f"r{number}" for number in range(8, 16)))
    pointers = {name: address + 8 * index for index, name in enumerate(names)}
    for name, pointer in pointers.items():
        guest.state[name] = pointer
    return pointers
