"""What a context remembers of its last fault, to tell a write from a read.

Seed: lastFaultSP, lastFaultAddr, lastFaultIP.
"""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

from worldswitch.harness.contract import Access, Event, Fault, State

if TYPE_CHECKING:
    from worldswitch.reference.address_space import PtraceAddressSpace


class FaultMemory:
    """The part of a context that knows where its last switch faulted, and by which instruction."""

    def __init__(self) -> None:
        self._fault: tuple[PtraceAddressSpace, int, int] | None = None
        self._fault_lock = threading.Lock()

    def _access(self, space: PtraceAddressSpace, state: State, address: int) -> Access:
        """What the guest tried.  ptrace hides the page fault's error code, so this is the seed's heuristic.

        At the program counter: an instruction fetch.  The same fault as the switch before it: whoever mended that one
        made the page readable, so now it is a write.  Otherwise it is taken for a read, which costs a write one fault
        more.
        """
        if address == state.pc:
            return Access.EXECUTE
        last = self._fault
        if last is not None and last[1:] == (address, state.pc) and last[0] is space:
            return Access.WRITE
        return Access.READ

    def _remember(self, space: PtraceAddressSpace, state: State, event: Event) -> None:
        with self._fault_lock:
            if isinstance(event, Fault) and event.signo == signal.SIGSEGV:
                space.remember_fault(self)
                self._fault = (space, event.address, state.pc)
            else:
                self._fault = None

    def forget_fault(self, space: PtraceAddressSpace, begin: int, end: int) -> bool:
        """Forget a last fault in the range; True if none of that space is left."""
        with self._fault_lock:
            if self._fault is not None and self._fault[0] is space:
                if not begin <= self._fault[1] < end:
                    return False
                self._fault = None
        return True
