"""A program in an address space of a platform, and the loop that serves its system calls."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from worldswitch.harness.arch import registers
from worldswitch.harness.contract import Abi, Access, Died, Event, Fault, Platform, Signal, Syscall
from worldswitch.harness.guest_kernel import elf
from worldswitch.harness.guest_kernel.calls import CALLS, HEAP_SIZE, ProgramEnded
from worldswitch.harness.guest_kernel.memory import PAGE, GuestMemory, whole_pages

STACK, STACK_SIZE = 0x7FF0_0000_0000, 1 << 20
ARENA = 0x7000_0000_0000  #: the first mapping for which the program names no address

#: Keys of the auxiliary vector: AT_PHDR, AT_PHENT, AT_PHNUM, AT_PAGESZ, AT_ENTRY, AT_RANDOM (getauxval(3)).
PHDR, PHENT, PHNUM, PAGESZ, ENTRY, RANDOM = 3, 4, 5, 6, 9, 25

MASK = (1 << 64) - 1


class ProgramLost(Exception):
    """The program cannot continue; the message has the cause and the program counter."""


@dataclass(frozen=True, slots=True)
class ProgramOutcome:
    """How a program ended, and which system calls it missed."""

    status: int  #: the exit status, or 128 + the number of the fatal signal
    unserved: Mapping[int, int]  #: unimplemented system calls: number → count


class GuestProcess:
    """One program with one thread.  Only the thread that made it may run it."""

    def __init__(self, platform: Platform, path: Path, arguments: Sequence[str], *, resident: bool = True) -> None:
        program = elf.parse(path.read_bytes(), str(path))
        self.space = platform.new_address_space()
        self.context = platform.new_context(resident=resident)
        self.state = platform.new_state()
        self.memory = GuestMemory(self.space)
        self.files: dict[int, int] = {0: 0, 1: 1, 2: 2}  #: the program's descriptors → this process's
        self.unserved: dict[int, int] = {}
        self.heap = self.heap_end = self._load(program)
        self.arena = ARENA
        self._prepare_stack(program, [str(path), *arguments])
        self.state.pc = program.entry

    def close(self) -> None:
        """Close the program's files, its memory and its address space."""
        for host_file in set(self.files.values()) - {0, 1, 2}:
            os.close(host_file)
        self.memory.close()
        self.space.release()

    # ------------------------------------------------------------------------------------------------------- loading

    def _load(self, program: elf.ElfProgram) -> int:
        """Map the program's segments and its heap; returns the heap's address."""
        begin = min(segment.address for segment in program.segments) & -PAGE
        region = self.memory.add(begin, whole_pages(program.end - begin), Access.NONE)
        for segment in program.segments:
            offset = segment.address - begin
            region.bytes[offset : offset + len(segment.contents)] = segment.contents
            first = segment.address & -PAGE
            length = whole_pages(segment.address + segment.size - first)
            self.space.map_file(first, region.file, first - begin, length, segment.access)
        heap = begin + whole_pages(program.end - begin) + PAGE
        self.memory.add(heap, HEAP_SIZE, Access.READ | Access.WRITE)
        return heap

    def _prepare_stack(self, program: elf.ElfProgram, arguments: Sequence[str]) -> None:
        """Write the arguments, an empty environment and the auxiliary vector, as execve(2) does."""
        self.memory.add(STACK, STACK_SIZE, Access.READ | Access.WRITE)
        top = STACK + STACK_SIZE
        texts = [os.fsencode(text) + b"\0" for text in arguments]
        pointers = []
        for text in (os.urandom(16), *reversed(texts)):
            top -= len(text)
            self.memory.write(top, text)
            pointers.append(top)
        random, *argument_pointers = pointers
        auxiliary = {
            PHDR: program.headers,
            PHENT: program.header_size,
            PHNUM: program.header_count,
            PAGESZ: PAGE,
            ENTRY: program.entry,
            RANDOM: random,
            0: 0,
        }
        pairs = [word for pair in auxiliary.items() for word in pair]
        words = [len(texts), *reversed(argument_pointers), 0, 0, *pairs]
        self.state.sp = (top - 8 * len(words)) & -16
        self.memory.write(self.state.sp, struct.pack(f"<{len(words)}Q", *words))

    # ------------------------------------------------------------------------------------------------------- running

    def run(self) -> ProgramOutcome:
        """Run the program until it ends, serving its system calls.  Raises `ProgramLost`."""
        switch, space, state = self.context.switch, self.space, self.state
        words, result = state.words, registers.RESULT
        try:
            while True:
                event = switch(space, state)
                if event.__class__ is not Syscall:
                    return ProgramOutcome(self._status_of(event), self.unserved)
                serve = CALLS.get(event.number) if event.abi is Abi.NATIVE else None
                words[result] = (serve(self) if serve else self._refuse(event)) & MASK
        except ProgramEnded as ended:
            return ProgramOutcome(ended.status, self.unserved)

    def _refuse(self, call: Syscall) -> int:
        number = call.number if call.abi is Abi.NATIVE else -1
        self.unserved[number] = self.unserved.get(number, 0) + 1
        return -38  # ENOSYS

    def _status_of(self, event: Event) -> int:
        """The exit status after a fatal signal.  Raises `ProgramLost` for every other event."""
        if isinstance(event, Signal | Fault):
            return 128 + event.signo
        if isinstance(event, Died):
            raise ProgramLost(f"its stub {event.cause}, at {self.state.pc:#x}")
        raise ProgramLost(f"unexpected event at {self.state.pc:#x}: {event}")
