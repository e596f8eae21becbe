"""Mutants whose stubs keep kernel registrations of the thread that forked them."""

from __future__ import annotations

import ctypes
import os
import threading
from dataclasses import replace
from pathlib import Path

from worldswitch.harness.contract import Event, Interrupted, State, Unavailable
from worldswitch.reference._core import lib
from worldswitch.reference.address_space import PtraceAddressSpace
from worldswitch.reference.birth_plan import Step, StubPlan
from worldswitch.reference.context import PtraceContext
from worldswitch.reference.creator import Creator
from worldswitch.reference.filter import program
from worldswitch.reference.mutants import mutant
from worldswitch.reference.mutants.address_spaces import KeepsTheRseqArea
from worldswitch.reference.mutants.injection import IgnoresItsOwnFaults
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stub_creation import StubCreation
from worldswitch.reference.stubprocess import StubProcess, Use
from worldswitch.reference.tracee import Tracee

# asm/unistd_64.h
SET_TID_ADDRESS, SET_ROBUST_LIST, GET_ROBUST_LIST, RSEQ = 218, 273, 274, 334

PR_GET_TID_ADDRESS = 40  # <linux/prctl.h>
RSEQ_SIGNATURE = 0x5305_3053
ROBUST_LIST_SIZE = 24

_libc = ctypes.CDLL(None)

# ----------------------------------------------------------------------------------------------- restartable sequences


@mutant(
    caught_by=("inherited::the_first_calls_of_a_new_stub_return",),
    origin="kernel.M6, seed.W7: rseq, and a loop of injection that ignores every signal",
)
class FaultsForEver(KeepsTheRseqArea, IgnoresItsOwnFaults):
    """Resumes a stub that the kernel faults for its rseq area at each resumption."""


class _DemandingCreator(Creator):
    def prepare(self) -> None:
        if lib.rseq_unregister() <= 0:
            raise Unavailable("rseq(RSEQ_FLAG_UNREGISTER) failed")


@mutant(
    caught_by=("inherited::a_harness_without_rseq_needs_no_remedy",),
    origin="this reference, before: an area that is not there was taken for one of unknown length",
)
class InsistsOnAnRseqArea(PtracePlatform):
    """Does not start if no rseq area is registered."""

    creator_class = _DemandingCreator


class _RegisteredStub(StubProcess):
    def acquire(self, use: Use, *arguments: object) -> Tracee:
        tracee = super().acquire(use, *arguments)  # type: ignore[arg-type]
        area = threading.main_thread().ident + ctypes.c_ssize_t.in_dll(_libc, "__rseq_offset").value  # type: ignore[operator]
        if use is Use.GUEST:
            tracee.call(RSEQ, area, 32, 0, RSEQ_SIGNATURE)
        return tracee


class _PermissiveCreation(StubCreation):
    def filter_program(self, key: int) -> bytes:
        """Let the call through."""
        return program(self.page, key, (*self.options.injectable, RSEQ))


@mutant(
    caught_by=(
        "inherited::empty_guest_memory_where_threads_had_theirs_stays_empty",
        "inherited::garbage_in_guest_memory_where_threads_had_theirs_does_no_harm",
    ),
    origin="pitfall 1, kernel.M6, where guests run in the forked thread itself",
)
class RunsGuestsWithAnRseqArea(PtracePlatform):
    """Runs guests in a thread that has a harness thread's rseq area registered."""

    stub_class = _RegisteredStub
    stub_creation_class = _PermissiveCreation


# ------------------------------------------------------------------------------------------------- the end of a thread


class _CreationWithATidAddress(StubCreation):
    def make_plan(self, go: int) -> StubPlan:
        """Begin with what fork(3) does."""
        address = ctypes.c_size_t()
        _libc.prctl(PR_GET_TID_ADDRESS, ctypes.byref(address), 0, 0, 0)
        plan = super().make_plan(go)
        return replace(plan, steps=(Step("set_tid_address", SET_TID_ADDRESS, (address.value,), None), *plan.steps))


@mutant(
    caught_by=("inherited::a_dying_stub_clears_no_word_of_its_guest",),
    origin="pitfall 2: glibc's fork passes CLONE_CHILD_CLEARTID",
)
class ForksWithATidAddress(PtracePlatform):
    """Leaves the address of the C library's thread id registered, as fork(3) does."""

    stub_creation_class = _CreationWithATidAddress


class _CreationWithARobustList(StubCreation):
    def make_plan(self, go: int) -> StubPlan:
        """Begin with what fork(3) does."""
        head, length = ctypes.c_size_t(), ctypes.c_size_t()
        _libc.syscall(GET_ROBUST_LIST, 0, ctypes.byref(head), ctypes.byref(length))
        plan = super().make_plan(go)
        step = Step("set_robust_list", SET_ROBUST_LIST, (head.value, ROBUST_LIST_SIZE))
        return replace(plan, steps=(step, *plan.steps))


@mutant(
    caught_by=("inherited::a_dying_stub_marks_no_lock_of_its_guest",),
    origin="pitfall 2: glibc's fork registers the list of robust locks again",
)
class ForksWithARobustList(PtracePlatform):
    """Leaves the C library's list of robust locks registered, as fork(3) does."""

    stub_creation_class = _CreationWithARobustList


# ------------------------------------------------------------------------------------------------ the kernel's own code


class _UnlockedContext(PtraceContext):
    def _deliver(self, space: PtraceAddressSpace, state: State, event: Event) -> Event:
        if isinstance(event, Interrupted) and _is_in_our_vdso(state.pc):
            memory = os.open(f"/proc/{space.stub.pid}/mem", os.O_WRONLY)
            os.pwrite(memory, bytes(8), state["rdx"])
            os.close(memory)
        return super()._deliver(space, state, event)


def _is_in_our_vdso(address: int) -> bool:
    line = next(line for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith("[vdso]"))
    begin, end = line.split()[0].split("-")
    return int(begin, 16) <= address < int(end, 16)


@mutant(
    caught_by=("inherited::guest_code_where_the_vdso_was_is_the_guests",),
    origin="kernel.M6, what a kernel does that finishes robust unlocks in a vdso it only remembers",
)
class FinishesUnlocksInTheVdso(PtracePlatform):
    """Clears the word that a register points at when a guest is interrupted in the former vdso."""

    context_class = _UnlockedContext
