"""Mutants of running: results, flags and registers that change in a switch, and events that change after it."""

from __future__ import annotations

import os
import weakref
from dataclasses import replace
from signal import SIGBUS, SIGSEGV
from typing import Any

from worldswitch.harness.contract import AddressSpace, Event, Fault, Signal, State
from worldswitch.reference.address_space import PtraceAddressSpace
from worldswitch.reference.context import PtraceContext
from worldswitch.reference.mutants import mutant
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.tracee import Tracee
from worldswitch.reference.x86_64 import USER_FLAGS, VSYSCALL_PAGE

SYSCALL_LENGTH = 2
RESTARTS = range(-516 % 2**64, -511 % 2**64)


class _RestartingContext(PtraceContext):
    def switch(self, address_space: AddressSpace, state: State) -> Event:
        if state["rax"] in RESTARTS:
            state["rax"] = state["orig_rax"]
            state.pc -= SYSCALL_LENGTH
        return super().switch(address_space, state)


@mutant(
    caught_by=("execution::results_that_look_like_restarts_arrive_verbatim",),
    origin="kernel.R2, done by a platform: a result that looks like a restart code",
)
class RestartsByTheResult(PtracePlatform):
    """Repeats a guest's system call if its result looks like one of the kernel's restart codes."""

    context_class = _RestartingContext


class _FlaglessContext(PtraceContext):
    def switch(self, address_space: AddressSpace, state: State) -> Event:
        state["eflags"] = USER_FLAGS
        return super().switch(address_space, state)


@mutant(caught_by=("execution::a_guest_sees_the_flags_it_is_given",), origin="registers saved without the flags")
class ForgetsTheFlags(PtracePlatform):
    """Resets the flags at each switch to those of a new process."""

    context_class = _FlaglessContext


class _LodgingContext(PtraceContext):
    """Finds a register in the address space, where the context that ran there last has left it."""

    def switch(self, address_space: AddressSpace, state: State) -> Event:
        last = _last.get(address_space)
        if last is not None and last is not state:
            state["r12"] = last["r12"]
        _last[address_space] = state
        return super().switch(address_space, state)


_last: weakref.WeakKeyDictionary[Any, State] = weakref.WeakKeyDictionary()


@mutant(
    caught_by=("threads::guests_that_run_at_once_keep_their_registers_apart",),
    origin="registers that are kept with the address space, and not with the context",
)
class KeepsRegistersWithTheSpace(PtracePlatform):
    """Gives a context a register of the context that ran in its address space before."""

    context_class = _LodgingContext


class _ContextWithoutBuses(PtraceContext):
    def _signal(self, space: PtraceAddressSpace, tracee: Tracee, state: State) -> Event | None:
        event = super()._signal(space, tracee, state)
        if isinstance(event, Fault) and event.signo == SIGBUS:
            return replace(event, signo=SIGSEGV)
        return event


@mutant(
    caught_by=("traps::memory_past_the_end_of_its_file_is_a_bus_error",),
    origin="any signal with an address reported as a page fault",
)
class TakesEveryFaultForASegment(PtracePlatform):
    """Reports SIGBUS as SIGSEGV."""

    context_class = _ContextWithoutBuses


class _ContextOfLastWords(PtraceContext):
    _told: Signal | None = None

    def switch(self, address_space: AddressSpace, state: State) -> Event:
        if self._told is not None:
            object.__setattr__(self._told, "signo", 0)
        event = super().switch(address_space, state)
        self._told = event if isinstance(event, Signal) else None
        return event


@mutant(
    caught_by=("traps::an_event_is_not_changed_by_the_next",),
    origin="gvisor de5a590ee: a siginfo that is cleared when the next switch begins",
)
class ClearsItsLastEvent(PtracePlatform):
    """Clears the signal that a switch returned when the next one begins."""

    context_class = _ContextOfLastWords


class _ContextWithoutVsyscalls(PtraceContext):
    def _signal(self, space: PtraceAddressSpace, tracee: Tracee, state: State) -> Event | None:
        event = super()._signal(space, tracee, state)
        return replace(event, address=0) if isinstance(event, Fault) and event.address in VSYSCALL_PAGE else event


@mutant(
    caught_by=("traps::a_vsyscall_with_a_bad_pointer_is_an_execute_fault_too",),
    origin="fact.C5: a protection fault has no address, and some kernels make one of a vsyscall",
)
class TellsNoVsyscallsAddress(PtracePlatform):
    """Reports a fault at a vsyscall without its address."""

    context_class = _ContextWithoutVsyscalls


class _ContextOfOldImages(PtraceContext):
    """Ignores an extended state that was written before the first switch."""

    _first: bytes | None = None

    def switch(self, address_space: AddressSpace, state: State) -> Event:
        if self._first is None:
            self._first = bytes(len(state.xstate_buffer))
            state.xstate_buffer[:] = self._first
        return super().switch(address_space, state)


@mutant(
    caught_by=("vectors::extended_state_moves_between_contexts_by_its_image",),
    origin="a context that is begun anew at its first switch, and not when it is made",
)
class BeginsWithNoImage(PtracePlatform):
    """Clears the extended state of a context that has not run yet."""

    context_class = _ContextOfOldImages


class _ContextAtHome(PtraceContext):
    def switch(self, address_space: AddressSpace, state: State) -> Event:
        if _home.setdefault("pid", os.getpid()) != os.getpid():
            state["r12"] = 0
        return super().switch(address_space, state)


_home: dict[str, int] = {}


@mutant(
    caught_by=("threads::a_forked_child_may_have_a_platform_of_its_own",),
    origin="fork(2): what is set up once is set up for one process",
)
class WorksInItsFirstProcessOnly(PtracePlatform):
    """Loses a register of guests in every process but the first that ran one."""

    context_class = _ContextAtHome
