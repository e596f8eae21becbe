"""The access of a fault, as deduced from its address, the program counter and the fault before it."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from typing import Any, cast

import pytest

from worldswitch.harness.contract import Access, Fault, State, Syscall
from worldswitch.reference.address_space import PtraceAddressSpace
from worldswitch.reference.fault_memory import FaultMemory
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stub_page import PAGE

CODE = 0x40_0000
END = CODE + PAGE  # of the first page


class Space:
    def remember_fault(self, context: FaultMemory) -> None:
        pass

    def forget_context(self, context: FaultMemory) -> None:
        pass


def accesses(pc: int, address: int, times: int = 1) -> list[Access]:
    """What a context says of the same fault, so many times."""
    memory, space, state = FaultMemory(), Space(), State(b"")
    state.pc = pc
    said = []
    for _ in range(times):
        said.append(memory._access(space, state, address))  # type: ignore[arg-type]
        memory._remember(space, state, Fault(11, 1, address, said[-1]))  # type: ignore[arg-type]
    return said


@pytest.mark.parametrize(
    ("pc", "address", "access"),
    [
        (CODE, CODE, Access.EXECUTE),
        (END - 1, END, Access.EXECUTE),
        (END - 14, END, Access.EXECUTE),
        (END - 15, END, Access.READ),  # an instruction has 15 bytes at most, so this one ends before the boundary
        (END - 2, END + 1, Access.READ),
        (END - 2, END - 1, Access.READ),
        (END, END - PAGE, Access.READ),
        (CODE, END, Access.READ),
    ],
)
def test_a_first_fault(pc: int, address: int, access: Access) -> None:
    assert accesses(pc, address) == [access]


def test_the_same_fault_again_is_a_write() -> None:
    assert accesses(CODE, 0x1234, 3) == [Access.READ, Access.WRITE, Access.WRITE]


def test_a_fetch_at_the_program_counter_is_never_a_write() -> None:
    assert accesses(CODE, CODE, 2) == [Access.EXECUTE, Access.EXECUTE]


def test_what_comes_again_on_a_page_that_may_be_executed_was_a_write() -> None:
    assert accesses(END - 7, END, 2) == [Access.EXECUTE, Access.WRITE]


def test_a_fault_that_comes_as_another_is_forgotten_is_remembered() -> None:
    """The guest's thread faults again while another thread unmaps."""
    state, fault = State(b""), Fault(11, 1, 0x1000, Access.READ)

    class Faulting(FaultMemory):
        def forget_fault(self, space: Any, begin: int, end: int) -> bool:
            is_forgotten = super().forget_fault(space, begin, end)
            self._remember(space, state, fault)
            return is_forgotten

    context, space = Faulting(), PtraceAddressSpace(cast(Any, None), cast(Any, None))
    context._remember(space, state, fault)
    space._forget_faults(0x1000, 0x2000)
    assert context in space._faulted, "the next unmap would not forget it"


@pytest.fixture
def platform() -> Iterator[PtracePlatform]:
    made = PtracePlatform()
    yield made
    made.close()


def test_an_instruction_that_straddles_two_pages_is_fetched(platform: PtracePlatform) -> None:
    space, context, state = platform.new_address_space(), platform.new_context(), platform.new_state()
    file = os.memfd_create("guest")
    os.ftruncate(file, 2 * PAGE)
    memory = mmap.mmap(file, 2 * PAGE)
    code = bytes.fromhex("b827000000 0f05")  # mov $39, %eax; syscall
    memory[PAGE - 2 : PAGE - 2 + len(code)] = code
    space.map_file(CODE, file, 0, PAGE, Access.READ | Access.EXECUTE)
    state.pc = END - 2
    fault = context.switch(space, state)
    assert isinstance(fault, Fault)
    assert (fault.address, fault.access, state.pc) == (END, Access.EXECUTE, END - 2)
    space.map_file(END, file, PAGE, PAGE, Access.READ | Access.EXECUTE)
    assert context.switch(space, state) == Syscall(39)
    memory.close()
    os.close(file)
