"""Parses static ELF programs: segments, entry point and program headers (elf(5)).

Only x86-64 executables of type ET_EXEC without an interpreter are accepted.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

from elftools.common.exceptions import ELFError
from elftools.elf.constants import P_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import Segment as Part

from worldswitch.harness.contract import Access

ACCESS = {P_FLAGS.PF_R: Access.READ, P_FLAGS.PF_W: Access.WRITE, P_FLAGS.PF_X: Access.EXECUTE}


class NotAProgram(ValueError):
    """The file is not a static x86-64 program; the message has the reason."""


@dataclass(frozen=True, slots=True)
class Segment:
    """`contents` at `address`, padded with zeros to `size` bytes."""

    address: int
    size: int
    access: Access
    contents: bytes


@dataclass(frozen=True, slots=True)
class ElfProgram:
    """A parsed program: its entry point, and its segments in file order."""

    entry: int
    segments: tuple[Segment, ...]
    headers: int  #: the address of the program headers; 0 if no segment contains them
    header_size: int
    header_count: int

    @property
    def end(self) -> int:
        """The first address after all segments."""
        return max(segment.address + segment.size for segment in self.segments)


def parse(image: bytes, name: str) -> ElfProgram:
    """Parse the bytes of a program.  Raises `NotAProgram` with `name` in the message if they are anything else."""
    try:
        return _parse(ELFFile(io.BytesIO(image)))
    except (ELFError, OverflowError, NotAProgram) as problem:
        raise NotAProgram(f"{name}: not a static 64-bit program: {problem}") from problem


def _parse(file: ELFFile) -> ElfProgram:
    head = file.header
    kind = (head["e_ident"]["EI_CLASS"], head["e_ident"]["EI_DATA"], head["e_type"], head["e_machine"])
    if kind != ("ELFCLASS64", "ELFDATA2LSB", "ET_EXEC", "EM_X86_64"):
        raise NotAProgram(f"it is {', '.join(map(str, kind))}")
    parts = list(file.iter_segments())
    if any(part["p_type"] == "PT_INTERP" for part in parts):
        raise NotAProgram("it needs an interpreter")
    loaded = [part for part in parts if part["p_type"] == "PT_LOAD" and part["p_memsz"]]
    if not loaded:
        raise NotAProgram("it has no loadable segment")
    table = head["e_phoff"]
    headers = (part["p_vaddr"] + table - part["p_offset"] for part in loaded if _has(part, table))
    segments = tuple(map(_segment, loaded))
    return ElfProgram(head["e_entry"], segments, next(headers, 0), head["e_phentsize"], head["e_phnum"])


def _has(part: Part, offset: int) -> bool:
    return bool(part["p_offset"] <= offset < part["p_offset"] + part["p_filesz"])


def _segment(part: Part) -> Segment:
    contents = part.data()
    if not len(contents) == part["p_filesz"] <= part["p_memsz"]:
        raise NotAProgram(f"the segment at {part['p_vaddr']:#x} is truncated")
    access = Access(sum(access for bit, access in ACCESS.items() if part["p_flags"] & bit))
    return Segment(part["p_vaddr"], part["p_memsz"], access, contents)
