"""The stub's seccomp filter, interpreted: what it allows, and that each bit of each instruction matters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from worldswitch.harness.environments.simulation import bpf
from worldswitch.reference import filter as stub_filter
from worldswitch.reference import x86_64
from worldswitch.reference._core import ffi, lib
from worldswitch.reference.filter import KEYED, THREAD_FLAGS, VSYSCALL_PAGE, key_of, new_key
from worldswitch.reference.stub_page import StubPage

#: A page whose halves are easily mistaken for each other.
BEGIN, KEY = 0x7000_0000_7000, 0x5EC2_E7AB
PAGE = StubPage(BEGIN, BEGIN + 0x1000, BEGIN, BEGIN + 1, BEGIN + 3, BEGIN + 10, 1 << 47)
ALLOW, TRAP, KILL = lib.SECCOMP_RET_ALLOW, lib.SECCOMP_RET_TRAP, lib.SECCOMP_RET_KILL_PROCESS
NATIVE, I386 = lib.AUDIT_ARCH_X86_64, lib.AUDIT_ARCH_I386
EXECVE, SYSINFO, EXIT_GROUP = 59, 99, 231
X32 = 1 << 30  # __X32_SYSCALL_BIT, arch/x86/include/uapi/asm/unistd.h

#: More than any number of the table, which ends near 470.
NUMBERS = range(1024)


@dataclass(frozen=True)
class Call:
    """A system call as the filter sees it."""

    number: int
    arguments: tuple[int, ...] = ()
    pointer: int = PAGE.park
    architecture: int = NATIVE

    def words(self) -> list[int | None]:
        words = bpf.call_words(self.number, self.architecture, self.arguments)
        words[2:4] = self.pointer & bpf.WORD, self.pointer >> 32
        return words


def injected(number: int, *arguments: int) -> Call:
    return Call(number, loaded(number, arguments))


def loaded(number: int, arguments: tuple[int, ...]) -> tuple[int, ...]:
    """The arguments of an injected call, as they are in the registers."""
    registers = ffi.new("struct registers *")
    x86_64.set_call(registers, registers[0], 0, number, arguments, key_of(number, KEY))
    return tuple(getattr(registers, name) for name in x86_64.ARGUMENTS)


def answer(call: Call, program: bpf.Program) -> int:
    (result,) = bpf.results(program, call.words())
    return result


def program(*extra: int) -> bpf.Program:
    return bpf.decode(stub_filter.program(PAGE, KEY, extra))


THREAD = injected(lib.SYS_clone, THREAD_FLAGS)
OWN = [*(injected(number) for number in KEYED[:-1]), THREAD]
PARKED = Call(lib.SYS_pause, pointer=PAGE.parked)


@pytest.mark.parametrize("call", [*OWN, PARKED])
def test_what_the_platform_needs_passes(call: Call) -> None:
    assert answer(call, program()) == ALLOW


def test_with_the_key_no_other_call_passes() -> None:
    key = (0, 0, 0, 0, KEY << 32)
    allowed = {number for number in NUMBERS if answer(Call(number, (THREAD_FLAGS, *key[1:])), program()) != KILL}
    assert allowed == set(KEYED)
    assert all(answer(Call(number, key), program()) == KILL for number in (-1, lib.SYS_clone))


@pytest.mark.parametrize("flags", [(), (THREAD_FLAGS,)])
def test_without_the_key_none_passes(flags: tuple[int, ...]) -> None:
    assert {answer(Call(number, flags), program()) for number in NUMBERS} == {KILL}


def test_parked_threads_can_pause_and_nothing_else() -> None:
    arguments = (THREAD_FLAGS, 0, 0, 0, KEY << 32)
    calls = [Call(number, arguments, pointer=PAGE.parked) for number in NUMBERS]
    assert [call.number for call in calls if answer(call, program(SYSINFO)) != KILL] == [lib.SYS_pause]


def test_each_other_byte_of_the_page_and_beside_it_kills() -> None:
    pointers = set(range(PAGE.begin - 1, PAGE.end + 1)) - {PAGE.park, PAGE.parked}
    assert {answer(replace(call, pointer=p), program(SYSINFO)) for call in (*OWN, PARKED) for p in pointers} == {KILL}


@pytest.mark.parametrize("number", [lib.SYS_getpid, 96, 201, 309, EXECVE])
def test_each_byte_of_the_vsyscall_page_traps(number: int) -> None:
    pointers = range(VSYSCALL_PAGE, VSYSCALL_PAGE + 0x1000)
    assert {answer(Call(number, pointer=pointer), program()) for pointer in pointers} == {TRAP}
    beside = (pointers.start - 1, pointers.stop)
    assert {answer(Call(number, pointer=pointer), program()) for pointer in beside} == {KILL}


@pytest.mark.parametrize("pointer", [PAGE.park, PAGE.parked, VSYSCALL_PAGE])
def test_other_abis_kill(pointer: int) -> None:
    for call in (*OWN, PARKED):
        here = replace(call, pointer=pointer)
        assert answer(replace(here, architecture=I386), program()) == KILL
        if pointer != VSYSCALL_PAGE:
            assert answer(replace(here, number=here.number | X32), program()) == KILL


def test_what_is_asked_for_needs_no_key_and_its_place() -> None:
    extra = program(SYSINFO, EXIT_GROUP)
    assert [answer(Call(number), extra) for number in (SYSINFO, EXIT_GROUP, EXECVE)] == [ALLOW, ALLOW, KILL]
    assert answer(Call(SYSINFO, pointer=PAGE.parked), extra) == KILL
    assert [answer(call, extra) for call in OWN] == [ALLOW] * len(OWN)


# -------------------------------------------------------------------------------------------------- each bit is needed


def one_bit_off(call: Call) -> Iterator[Call]:
    """Every call that differs from this one in one bit of what the filter may look at."""
    for bit in range(64):
        yield replace(call, pointer=call.pointer ^ 1 << bit)
        for index in range(6):
            arguments = [*call.arguments, *[0] * (6 - len(call.arguments))]
            arguments[index] ^= 1 << bit
            yield replace(call, arguments=tuple(arguments))
    for bit in range(32):
        yield replace(call, number=call.number ^ 1 << bit)
        yield replace(call, architecture=call.architecture ^ 1 << bit)


def corpus() -> list[Call]:
    vsyscall = Call(lib.SYS_getpid, pointer=VSYSCALL_PAGE)
    allowed = [*OWN, PARKED, Call(SYSINFO), vsyscall]
    as_high = [replace(call, pointer=VSYSCALL_PAGE >> 32 << 32 | call.pointer & bpf.WORD) for call in allowed]
    return [*allowed, *as_high, *(near for call in allowed for near in one_bit_off(call))]


def changed(one: bpf.Instruction) -> Iterator[bpf.Instruction]:
    """The instruction left out, and with each part of it changed."""
    yield bpf.Instruction(bpf.JUMP, 0, 0, 0)
    if one.code == bpf.RETURN:
        yield from (one._replace(constant=action) for action in (ALLOW, TRAP, KILL) if action != one.constant)
    elif one.code == bpf.LOAD:
        yield from (one._replace(constant=4 * word) for word in range(bpf.WORDS) if 4 * word != one.constant)
    else:
        yield from (one._replace(constant=one.constant ^ 1 << bit) for bit in range(32))
    if one.code == bpf.EQUAL:
        yield one._replace(if_true=one.if_false, if_false=one.if_true)
        if one.constant != bpf.WORD:  # no greater word
            yield one._replace(code=bpf.GREATER_EQUAL)
        yield from (one._replace(if_false=one.if_false + step) for step in (-1, 1) if one.if_false + step >= 0)
        yield one._replace(if_true=one.if_true + 1)


def is_noticed(mutant: bpf.Program, expected: list[tuple[Call, int]]) -> bool:
    try:
        return any(answer(call, mutant) != right for call, right in expected)
    except (IndexError, ValueError):  # the kernel does not take a program that jumps beyond its end
        return True


@pytest.mark.parametrize("place", range(len(program(SYSINFO))))
def test_every_bit_of_every_instruction_matters(place: int) -> None:
    whole = program(SYSINFO)
    expected = [(call, answer(call, whole)) for call in corpus()]
    mutants = [(*whole[:place], one, *whole[place + 1 :]) for one in changed(whole[place])]
    assert [mutant[place] for mutant in mutants if not is_noticed(mutant, expected)] == []


# ----------------------------------------------------------------------------------------------------------- the key


def test_a_key_is_in_the_half_that_the_kernel_ignores_and_only_where_it_is_needed() -> None:
    assert loaded(lib.SYS_mmap, (1, 2, 3, 4, 2**64 - 1, 6)) == (1, 2, 3, 4, KEY << 32 | 0xFFFF_FFFF, 6)
    assert loaded(lib.SYS_getpid, ()) == (0, 0, 0, 0, KEY << 32, 0)
    assert loaded(SYSINFO, (1, 2, 3, 4, 2**64 - 1, 6)) == (1, 2, 3, 4, 2**64 - 1, 6)


def test_keys_differ_and_none_is_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len({new_key() for _ in range(8)}) > 1
    monkeypatch.setattr(stub_filter.secrets, "randbelow", lambda _: 0)
    assert new_key() == 1
