"""Interprets the classic BPF of seccomp filters; a word of a call may be unknown.

At a branch on an unknown word both ways are followed, so a program may have several results.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

# include/uapi/linux/bpf_common.h, include/uapi/linux/filter.h: class, size or operation, mode or source
LOAD, RETURN, AND, JUMP = 0x20, 0x06, 0x54, 0x05
EQUAL, GREATER, GREATER_EQUAL, BITS_SET = 0x15, 0x25, 0x35, 0x45
BRANCHES: dict[int, Callable[[int, int], bool]] = {
    EQUAL: lambda word, constant: word == constant,
    GREATER: lambda word, constant: word > constant,
    GREATER_EQUAL: lambda word, constant: word >= constant,
    BITS_SET: lambda word, constant: bool(word & constant),
}

#: struct seccomp_data in words: number, architecture, two of the instruction pointer, two of each argument (low, high)
WORDS = 16
WORD = 0xFFFF_FFFF
FORMAT = "=HBBI"  #: struct sock_filter


class Instruction(NamedTuple):
    """One instruction, as in struct sock_filter."""

    code: int
    if_true: int
    if_false: int
    constant: int


Program: TypeAlias = tuple[Instruction, ...]


class Unsupported(ValueError):
    """An instruction that no filter of a container runtime has."""


def decode(data: bytes) -> Program:
    """Return the instructions of an exported program."""
    return tuple(Instruction(*fields) for fields in struct.iter_unpack(FORMAT, data))


def encode(program: Program) -> bytes:
    """Return a program as seccomp(2) takes it."""
    return b"".join(struct.pack(FORMAT, *one) for one in program)


def call_words(number: int, architecture: int, arguments: Sequence[int | None]) -> list[int | None]:
    """Return the words of a call; the instruction pointer is unknown."""
    words: list[int | None] = [number & WORD, architecture, None, None]
    for argument in arguments:
        words += (None, None) if argument is None else (argument & WORD, argument >> 32 & WORD)
    return words + [0] * (WORDS - len(words))


def results(program: Program, words: Sequence[int | None]) -> frozenset[int]:
    """Return every result that the program can have for the call."""
    return frozenset(_results(program, words))


def _results(program: Program, words: Sequence[int | None]) -> Iterator[int]:
    waiting: list[tuple[int, int | None]] = [(0, 0)]
    seen: set[tuple[int, int | None]] = set()
    while waiting:
        state = waiting.pop()
        if state in seen:
            continue
        seen.add(state)
        place, word = state
        one = program[place]
        if one.code == RETURN:
            yield one.constant
        else:
            waiting += _next(one, place + 1, word, words)


def _next(one: Instruction, place: int, word: int | None, words: Sequence[int | None]) -> list[tuple[int, int | None]]:
    if one.code == LOAD:
        return [(place, words[one.constant // 4])]
    if one.code == AND:
        return [(place, word & one.constant if word is not None else None)]
    if one.code == JUMP:
        return [(place + one.constant, word)]
    if one.code not in BRANCHES:
        raise Unsupported(f"instruction {one.code:#x}")
    if word is None:
        return [(place + one.if_true, None), (place + one.if_false, None)]
    taken = BRANCHES[one.code](word, one.constant)
    return [(place + (one.if_true if taken else one.if_false), word)]
