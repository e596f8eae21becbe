"""An address space: a lease on a stub process, in which files are mapped by injected system calls.

The lease and the process are two things.  After `release` the process may serve somebody else, and the old lease is
only good for raising `Released`.  Seed: the part of `subprocess` that is platform.AddressSpace.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING

from worldswitch.harness.contract import (
    Access,
    BadAddress,
    Busy,
    HostError,
    Released,
    Stub,
    StubDied,
)
from worldswitch.reference import tracing
from worldswitch.reference._core import lib
from worldswitch.reference.page import PAGE
from worldswitch.reference.stubprocess import StubProcess, Use
from worldswitch.reference.tracee import MAX_ERRNO, Tracee

if TYPE_CHECKING:
    from worldswitch.reference.fault_memory import FaultMemory
    from worldswitch.reference.ptrace import PtracePlatform

END_OF_WORDS = 1 << 64


class PtraceAddressSpace:
    """A lease on a stub process."""

    def __init__(self, platform: PtracePlatform, stub: StubProcess) -> None:
        self.platform = platform
        #: The process, or None after release.
        self.stub_process: StubProcess | None = stub
        self._faulted: weakref.WeakSet[FaultMemory] = weakref.WeakSet()
        self._lock = threading.Lock()

    # ------------------------------------------------------------------------------------------------------ mapping

    def map_file(
        self, address: int, file: int, offset: int, length: int, access: Access, precommit: bool = False
    ) -> None:
        """Map a file; see the contract.  Seed: subprocess.MapFile.

        A last fault in the range is remembered over this: a read fault that is mended for reading only, and comes
        again, was a write.  Where the new mapping cannot even be read, it says nothing.
        """
        begin, end = self.checked_range(address, length)
        if begin < self.platform.address_range[0]:
            raise BadAddress(f"{begin:#x} is below {self.platform.address_range[0]:#x}, the lowest address mmap allows")
        if not access & Access.READ:
            self._forget_faults(begin, end)
        flags = lib.MAP_SHARED | lib.MAP_FIXED | (lib.MAP_POPULATE if precommit else 0)
        self._call("mmap", lib.SYS_mmap, begin, end - begin, int(access), flags, file, offset)

    def unmap(self, address: int, length: int) -> None:
        """Unmap a range; see the contract.  Seed: subprocess.Unmap."""
        begin, end = self.checked_range(address, length)
        self._forget_faults(begin, end)
        self._call("munmap", lib.SYS_munmap, begin, end - begin)

    def checked_range(self, address: int, length: int) -> tuple[int, int]:
        """The range in whole pages, of which nothing is beyond 64 bits, the guest's addresses, or the stub's own.

        Python's integers do not wrap, but what reaches the kernel does: an unchecked sum would unmap something else.
        """
        begin, end = address, address + length
        if address < 0 or length <= 0:
            raise BadAddress(f"no range: address {address:#x}, length {length:#x}")
        if address >= END_OF_WORDS or end >= END_OF_WORDS:
            raise BadAddress(f"address {address:#x} + length {length:#x} overflows 64 bits")
        if address % PAGE:
            raise BadAddress(f"address {address:#x} is not a multiple of the page size {PAGE:#x}")
        end += -end % PAGE
        page = self.platform.page
        if page.overlaps(begin, end):
            raise BadAddress(f"{begin:#x}-{end:#x} touches the stub at {page.begin:#x}-{page.end:#x}")
        if end > self.platform.address_range[1]:
            raise BadAddress(f"{begin:#x}-{end:#x} ends beyond {self.platform.address_range[1]:#x}")
        return begin, end

    def _call(self, name: str, number: int, *arguments: int) -> int:
        result = self.call_tracee().call(number, *arguments)
        if -MAX_ERRNO <= result < 0:
            shown = ", ".join(f"{argument:#x}" for argument in arguments)
            raise HostError(-result, f"{name}({shown}) in the stub")
        return result

    def call_tracee(self) -> Tracee:
        """The calling thread's own thread of the stub for injected calls."""
        return tracing.tracee_for(self.platform, self.live_stub(), Use.CALL)

    def live_stub(self) -> StubProcess:
        """The process.  Raises `Released`, `StubDied`, `WrongThread` in a forked copy of us."""
        stub = self.stub_process
        self.platform.check_open()
        if stub is None:
            stub = self._settled_stub()
        if stub is None:
            raise Released("the address space was released")
        if stub.cause is not None:
            raise StubDied(stub.cause)
        return stub

    def _settled_stub(self) -> StubProcess | None:
        """The process, once it is decided whether a release that is under way will be refused."""
        with self._lock:
            return self.stub_process

    def is_leased(self, stub: StubProcess) -> bool:
        """Whether this is a lease on that process; waits while a release is being decided."""
        with self._lock:
            return self.stub_process is stub

    # ------------------------------------------------------------------------------------------------------- faults

    def remember_fault(self, context: FaultMemory) -> None:
        """The context's last switch ended in a fault here."""
        with self._lock:
            self._faulted.add(context)

    def _forget_faults(self, begin: int, end: int) -> None:
        with self._lock:
            contexts = list(self._faulted)
        for context in contexts:
            if context.forget_fault(self, begin, end):
                with self._lock:
                    self._faulted.discard(context)

    # ------------------------------------------------------------------------------------------------------ release

    def release(self, *, wait: bool = True) -> None:
        """Give it back; see the contract.  Seed: subprocess.Release."""
        stub = self._end_lease()
        self._forget_faults(0, END_OF_WORDS)
        if wait:
            self.platform.take_back(stub)
        else:
            self.platform.take_back_later(stub)

    def _end_lease(self) -> StubProcess:
        self.platform.check_open()
        with self._lock:
            stub = self.stub_process
            if stub is None:
                raise Released("the address space was released before")
            self.stub_process = None
            # A switch says that it runs and then looks whether it is admitted; we do it the other way round.
            stub.admit_none()
            if stub.is_inhabited():
                self.stub_process = stub
                raise Busy("a guest runs in the address space")
        return stub

    # -------------------------------------------------------------------------------------------------- inspectable

    def inject(self, number: int, *arguments: int) -> int:
        """Have the stub make a system call; see the contract."""
        return self._call(f"system call {number}", number, *arguments)

    @property
    def stub(self) -> Stub:
        """The host process; see the contract."""
        stub = self.stub_process
        if stub is None:
            raise Released("the address space was released")
        return Stub(stub.pid, stub.tids(), stub.page.begin, stub.page.end)
