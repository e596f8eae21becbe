"""The stub's seccomp filter, run by an interpreter of its few instructions."""

from __future__ import annotations

import struct

import pytest

from worldswitch.reference import filter as stub_filter
from worldswitch.reference._core import lib
from worldswitch.reference.filter import INJECTED, THREAD_FLAGS, VSYSCALL_PAGE

PAGE = 0x7FFF_FFFF_E000
ALLOW, TRAP, KILL = lib.SECCOMP_RET_ALLOW, lib.SECCOMP_RET_TRAP, lib.SECCOMP_RET_KILL_PROCESS
NATIVE, I386 = lib.AUDIT_ARCH_X86_64, lib.AUDIT_ARCH_I386
EXECVE, EXIT_GROUP, SYSINFO = 59, 231, 99


def run(program: bytes, data: bytes) -> int:
    """The filter's answer.  Jumps go forward only, as the kernel's verifier demands."""
    instructions = list(struct.iter_unpack("=HBBI", program))
    accumulator, place = 0, 0
    while True:
        code, if_true, if_false, operand = instructions[place]
        place += 1
        match code:
            case stub_filter.LOAD_WORD:
                (accumulator,) = struct.unpack_from("=I", data, operand)
            case stub_filter.AND:
                accumulator &= operand
            case stub_filter.JUMP_EQUAL:
                place += if_true if accumulator == operand else if_false
            case stub_filter.RETURN:
                return int(operand)
            case _:
                raise AssertionError(f"instruction {place - 1} has the code {code:#x}")


def answer(
    number: int, *arguments: int, pointer: int = PAGE + 1, architecture: int = NATIVE, extra: tuple[int, ...] = ()
) -> int:
    """The filter's answer to a system call (struct seccomp_data)."""
    data = struct.pack("=iIQ6Q", number, architecture, pointer, *arguments, *[0] * (6 - len(arguments)))
    return run(stub_filter.program(PAGE, extra), data)


@pytest.mark.parametrize("number", INJECTED)
def test_what_is_injected_passes(number: int) -> None:
    assert answer(number) == ALLOW
    assert answer(number, pointer=PAGE) == answer(number, pointer=PAGE + 0xFFF) == ALLOW


def test_nothing_else_passes() -> None:
    allowed = {*INJECTED, lib.SYS_clone}
    assert {number for number in range(1024) if answer(number, THREAD_FLAGS) != KILL} == allowed
    assert answer(-1) == KILL


@pytest.mark.parametrize("pointer", [0, 0x40_0000, PAGE - 1, PAGE + 0x1000, PAGE | 1 << 47, PAGE & 0xFFFF_FFFF])
@pytest.mark.parametrize("number", [lib.SYS_getpid, EXECVE])
def test_a_call_from_elsewhere_kills(pointer: int, number: int) -> None:
    assert answer(number, pointer=pointer) == KILL


@pytest.mark.parametrize("offset", [0, 0x400, 0x800, 0xFFF])
@pytest.mark.parametrize("number", [lib.SYS_getpid, 96, 201, 309])
def test_a_vsyscall_traps(offset: int, number: int) -> None:
    assert answer(number, pointer=VSYSCALL_PAGE + offset) == TRAP


@pytest.mark.parametrize("pointer", [VSYSCALL_PAGE - 1, VSYSCALL_PAGE + 0x1000, VSYSCALL_PAGE & 0xFFFF_FFFF])
def test_beside_the_vsyscall_page_is_elsewhere(pointer: int) -> None:
    assert answer(lib.SYS_getpid, pointer=pointer) == KILL


@pytest.mark.parametrize("pointer", [PAGE, VSYSCALL_PAGE])
@pytest.mark.parametrize("number", [20, lib.SYS_getpid, lib.SYS_mmap])
def test_the_other_architecture_kills(pointer: int, number: int) -> None:
    assert answer(number, pointer=pointer, architecture=I386) == KILL


@pytest.mark.parametrize("other", [0, THREAD_FLAGS & ~lib.CLONE_THREAD, THREAD_FLAGS | 0x2000, 17])
def test_threads_are_made_one_way_only(other: int) -> None:
    assert answer(lib.SYS_clone, THREAD_FLAGS) == ALLOW
    assert answer(lib.SYS_clone, other) == KILL


def test_what_is_asked_for_passes_too_and_only_that() -> None:
    extra = (SYSINFO, EXIT_GROUP)
    assert [answer(number, extra=extra) for number in (*extra, EXECVE)] == [ALLOW, ALLOW, KILL]
    assert answer(SYSINFO, extra=extra, pointer=PAGE - 1) == KILL
