"""Static ELF programs: which parts of a file go where in memory, and where they start.

Source: elf(5).  Only what stands on its own is read: 64-bit little-endian executables without an interpreter.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from worldswitch.harness.contract import Access

EXECUTABLE = 2  # ET_EXEC
MACHINE = 62  # EM_X86_64
LOAD, INTERPRETER = 1, 3  # PT_LOAD, PT_INTERP

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")


class NotAProgram(ValueError):
    """A file that cannot be run here; the message says what it is not."""


@dataclass(frozen=True, slots=True)
class Segment:
    """`contents` at `address`, and zeros behind it up to `size` bytes."""

    address: int
    size: int
    access: Access
    contents: bytes


@dataclass(frozen=True, slots=True)
class Program:
    """What a file wants in memory."""

    entry: int
    segments: tuple[Segment, ...]
    headers: int  #: where its program headers come to lie, or 0 if they do not
    header_size: int
    header_count: int

    @property
    def end(self) -> int:
        """The first address behind everything."""
        return max(segment.address + segment.size for segment in self.segments)


def parse(image: bytes, name: str) -> Program:
    """Read a program; raises `NotAProgram` for everything that is none, `name` says in it which."""
    try:
        return _parse(image)
    except (struct.error, NotAProgram) as problem:
        raise NotAProgram(f"{name}: no static 64-bit program: {problem}") from problem


def _parse(image: bytes) -> Program:
    magic, kind, machine, _, entry, table, _, _, _, size, count, *_ = _HEADER.unpack_from(image)
    if magic[:6] != b"\x7fELF\x02\x01":
        raise NotAProgram("it does not begin like a 64-bit little-endian ELF file")
    if (kind, machine) != (EXECUTABLE, MACHINE):
        raise NotAProgram(f"type {kind} for machine {machine}, not {EXECUTABLE} for {MACHINE}")
    rows = [_SEGMENT.unpack_from(image, table + number * size) for number in range(count)]
    if any(row[0] == INTERPRETER for row in rows):
        raise NotAProgram("it asks for an interpreter")
    loaded = [row for row in rows if row[0] == LOAD and row[6]]
    if not loaded:
        raise NotAProgram("nothing of it is to be loaded")
    headers = next((row[3] + table - row[2] for row in loaded if row[2] <= table < row[2] + row[5]), 0)
    return Program(entry, tuple(_segment(image, row) for row in loaded), headers, size, count)


def _segment(image: bytes, row: tuple[int, ...]) -> Segment:
    _, flags, offset, address, _, in_file, in_memory, _ = row
    if in_file > in_memory or offset + in_file > len(image):
        raise NotAProgram(f"the segment at {address:#x} is not whole")
    return Segment(address, in_memory, _access(flags), image[offset : offset + in_file])


def _access(flags: int) -> Access:
    """PF_X is 1, PF_W 2 and PF_R 4: the other way round than what mmap(2) takes."""
    bits = ((4, Access.READ), (2, Access.WRITE), (1, Access.EXECUTE))
    return Access(sum(access for bit, access in bits if flags & bit))
