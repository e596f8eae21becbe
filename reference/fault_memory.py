"""A context's last fault, which distinguishes a write from a read.

Seed: lastFaultSP, lastFaultAddr, lastFaultIP.
"""

from __future__ import annotations

import signal
from typing import Protocol

from worldswitch.harness.contract import Access, Event, Fault, State
from worldswitch.reference.locks import Lock
from worldswitch.reference.stub_page import PAGE


class Space(Protocol):
    """An address space, as the memory of faults knows it."""

    def remember_fault(self, context: FaultMemory) -> None:
        """The context's last switch ended in a fault there: call its `forget_fault` when the range changes."""

    def forget_context(self, context: FaultMemory) -> None:
        """The context has no last fault there any more."""


#: The longest x86 instruction, in bytes (Intel SDM volume 2, 2.3.11).
INSTRUCTION_SIZE = 15


class FaultMemory:
    """The part of a context that remembers where its last switch faulted, and at which instruction."""

    # Seams: `_access` and `forget_fault` are overridden by mutants.

    def __init__(self) -> None:
        self._fault: tuple[Space, int, int] | None = None
        self._fault_lock = Lock()

    def _access(self, space: Space, state: State, address: int) -> Access:
        """What the guest tried: the seed's heuristic, as ptrace does not report the page fault's error code.

        A fault at the program counter is an instruction fetch.  The same fault as in the switch before is a write: the
        caller has since made the page readable, or executable.  A fault at the start of a page just above the program
        counter is the fetch of an instruction that straddles two pages.  Anything else is reported as a read, which
        costs a write one more fault.

        A load or store whose operand starts a page within `INSTRUCTION_SIZE` of its program counter looks like such a
        fetch too.  A caller that answers with an executable page gets a write when it comes again.
        """
        pc = state.pc
        if address == pc:
            return Access.EXECUTE
        last = self._fault
        if last is not None and last[1:] == (address, pc) and last[0] is space:
            return Access.WRITE
        if pc < address < pc + INSTRUCTION_SIZE and address % PAGE == 0:
            return Access.EXECUTE
        return Access.READ

    def _remember(self, space: Space, state: State, event: Event) -> None:
        with self._fault_lock:
            if isinstance(event, Fault) and event.signo == signal.SIGSEGV:
                space.remember_fault(self)
                self._fault = (space, event.address, state.pc)
            else:
                self._fault = None

    def forget_fault(self, space: Space, begin: int, end: int) -> bool:
        """Forget the last fault if it is in the range; returns True if no fault in that space is left."""
        with self._fault_lock:
            if self._fault is not None and self._fault[0] is space:
                if not begin <= self._fault[1] < end:
                    return False
                self._fault = None
            space.forget_context(self)  # under the lock, or a fault that comes now would be taken off the list
        return True
