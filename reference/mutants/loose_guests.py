"""Mutants of the stub's filter: each lets one call pass that reaches the host."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from worldswitch.reference import filter as stub_filter
from worldswitch.reference._core import lib
from worldswitch.reference.filter import (
    AND,
    FLAGS_HIGH,
    FLAGS_LOW,
    KEY,
    KILL,
    LOAD_WORD,
    PAGE_MASK,
    POINTER_HIGH,
    POINTER_LOW,
    THREAD_FLAGS,
    Instruction,
)
from worldswitch.reference.mutants import mutant
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stub_creation import StubCreation

SYS_DUP = 32  # asm/unistd_64.h

#: A rule's comparison and its KILL, made one that never kills: both ways lead past the KILL.
ALWAYS = struct.pack("=HBBI", stub_filter.JUMP_EQUAL, 1, 1, 0)


def _encode(*instructions: Instruction) -> bytes:
    return b"".join(struct.pack("=HBBI", *one) for one in instructions)


def _without(program: bytes, rule: Sequence[Instruction]) -> bytes:
    """The program with the comparison of one rule made one that holds for every word."""
    code = _encode(*rule)
    assert program.count(code) == 1, "the filter has no such rule"
    load, *others = rule
    return program.replace(code, _encode(load) + ALWAYS + _encode(*others[1:]))


class _KeylessCreation(StubCreation):
    def filter_program(self, key: int) -> bytes:
        return _without(super().filter_program(key), stub_filter._only(KEY, key))


@mutant(
    caught_by=("EV12",), origin="this reference, before: the stub's code was enough to be allowed what the platform is"
)
class AsksForNoKey(PtracePlatform):
    """Lets a call from the stub's code pass without the stub's key."""

    stub_creation_class = _KeylessCreation


class _ProcreativeCreation(StubCreation):
    def filter_program(self, key: int) -> bytes:
        program = _without(super().filter_program(key), stub_filter._only(FLAGS_LOW, THREAD_FLAGS))
        return _without(program, stub_filter._only(FLAGS_HIGH, 0))


@mutant(
    caught_by=("loose_guests::an_injected_clone_makes_threads_alone",),
    origin="a filter that looks at the number of clone and not at its flags",
)
class LetsAnyCloneOut(PtracePlatform):
    """Lets an injected clone with any flags pass."""

    stub_creation_class = _ProcreativeCreation


class _HalfBlindCreation(StubCreation):
    def filter_program(self, key: int) -> bytes:
        high = [(LOAD_WORD, 0, 0, POINTER_HIGH), *stub_filter._from_the_stub(self.page)[:2]]
        program = super().filter_program(key)
        return program.replace(_encode(*high[1:]), ALWAYS + _encode(KILL))


@mutant(
    caught_by=("loose_guests::code_that_resembles_the_stubs_is_not_the_stubs",),
    origin="a filter of 32-bit words that compares one half of a 64-bit address",
)
class ComparesHalfAnAddress(PtracePlatform):
    """Compares only the lower half of a call's address with the stub's."""

    stub_creation_class = _HalfBlindCreation


class _PagewiseCreation(StubCreation):
    def filter_program(self, key: int) -> bytes:
        """Where parked threads are not known either, a pause needs no key."""
        high, kill, *rest = stub_filter._from_the_stub(self.page)
        load, page = (LOAD_WORD, 0, 0, POINTER_LOW), self.page.begin & PAGE_MASK
        pagewise = [
            *(high, kill, load, (AND, 0, 0, PAGE_MASK), (stub_filter.JUMP_EQUAL, 1, 0, page), KILL),
            *stub_filter._any_of([lib.SYS_pause]),
        ]
        return super().filter_program(key).replace(_encode(high, kill, *rest), _encode(*pagewise))


@mutant(
    caught_by=("loose_guests::code_that_resembles_the_stubs_is_not_the_stubs",),
    origin="this reference, before: the address of a call is that behind its instruction",
)
class TakesThePageForTheInstruction(PtracePlatform):
    """Takes a call for the stub's if the address behind its instruction is on the stub's page."""

    stub_creation_class = _PagewiseCreation


class _TrustingCreation(StubCreation):
    def filter_program(self, key: int) -> bytes:
        rule = _encode(*stub_filter._from_the_stub(self.page))
        return super().filter_program(key).replace(rule, rule.replace(_encode(KILL), _encode(stub_filter.ALLOW)))


@mutant(
    caught_by=("loose_guests::a_loose_guest_makes_no_call_of_any_number",),
    origin="a filter that is about the platform's calls, where guests' calls are emulated anyway",
)
class JudgesTheStubsCallsOnly(PtracePlatform):
    """Lets every call pass that does not come from the stub's code."""

    stub_creation_class = _TrustingCreation


class _GenerousCreation(StubCreation):
    def filter_program(self, key: int) -> bytes:
        return stub_filter.program(self.page, key, (*self.options.injectable, *range(SYS_DUP, 480)))


@mutant(
    caught_by=("loose_guests::an_injected_call_of_any_other_number_ends_the_stub",),
    origin="gvisor's own filters: lists that grow and are not read again",
)
class LetsMostCallsOut(PtracePlatform):
    """Lets most injected calls pass."""

    stub_creation_class = _GenerousCreation


class _TimelessCreation(StubCreation):
    def filter_program(self, key: int) -> bytes:
        trap, allow = (_encode((stub_filter.RETURN, 0, 0, a)) for a in (lib.SECCOMP_RET_TRAP, lib.SECCOMP_RET_ALLOW))
        return super().filter_program(key).replace(trap, allow)


@mutant(
    caught_by=("loose_guests::a_loose_guest_reads_no_clock_from_the_vsyscall_page",),
    origin="seed.patchSignalInfo: calls from the vsyscall page are trapped by the filter alone",
)
class LetsVsyscallsOut(PtracePlatform):
    """Lets calls from the vsyscall page pass."""

    stub_creation_class = _TimelessCreation
