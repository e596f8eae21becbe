"""An address space: a lease on a stub process, in which injected system calls map files.

The process may outlive the lease: after `release` it may serve another address space, and every use of the old lease
raises `Released`.  Seed: the part of `subprocess` that is platform.AddressSpace.
"""

from __future__ import annotations

import errno
import weakref

from worldswitch.harness.contract import (
    Access,
    BadAddress,
    Busy,
    HostError,
    Released,
    Stub,
    StubDied,
)
from worldswitch.reference import thread_tracees
from worldswitch.reference._core import lib
from worldswitch.reference.fault_memory import FaultMemory
from worldswitch.reference.locks import Lock
from worldswitch.reference.services import Services
from worldswitch.reference.stub_page import PAGE
from worldswitch.reference.stubprocess import StubProcess, Use
from worldswitch.reference.tracee import MAX_ERRNO, Tracee

END_OF_WORDS = 1 << 64
END_OF_DESCRIPTORS = 1 << 31


class PtraceAddressSpace:
    """A lease on a stub process."""

    # Seams: most methods are overridden by mutants.

    def __init__(self, platform: Services, stub: StubProcess) -> None:
        self.platform = platform
        #: The process, or None after release.
        self.stub_process: StubProcess | None = stub
        self._faulted: weakref.WeakSet[FaultMemory] = weakref.WeakSet()
        self._lock = Lock()

    # ------------------------------------------------------------------------------------------------------ mapping

    def map_file(
        self, address: int, file: int, offset: int, length: int, access: Access, precommit: bool = False
    ) -> None:
        """Map a file; see the contract.  Seed: subprocess.MapFile.

        The last fault in the range is remembered: a read fault that comes again after a read-only mapping was a write.
        It is forgotten if the new mapping cannot be read.
        """
        begin, end = self.checked_range(address, length)
        if begin < self.platform.address_range[0]:
            raise BadAddress(f"{begin:#x} is below {self.platform.address_range[0]:#x}, the lowest address mmap allows")
        self._check_file(file, offset)
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
        """The range, rounded up to whole pages.  Raises `BadAddress` if it wraps, or leaves the guest's addresses.

        Python's integers do not wrap, but the kernel's arguments do: an unchecked sum would unmap another range.
        """
        begin, end = address, address + length
        if address < 0 or length <= 0:
            raise BadAddress(f"not a range: address {address:#x}, length {length:#x}")
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

    def _check_file(self, file: int, offset: int) -> None:
        """Raise `HostError` for what the kernel would cut to the width of another descriptor or offset."""
        if not 0 <= file < END_OF_DESCRIPTORS:
            raise HostError(errno.EBADF, f"mmap of file descriptor {file:#x}")
        if not 0 <= offset < END_OF_WORDS:
            raise HostError(errno.EOVERFLOW, f"mmap of a file at offset {offset:#x}")

    def _call(self, name: str, number: int, *arguments: int) -> int:
        result = self.call_tracee().call(number, *arguments)
        if -MAX_ERRNO <= result < 0:
            shown = ", ".join(f"{argument:#x}" for argument in arguments)
            raise HostError(-result, f"{name}({shown}) in the stub")
        return result

    def call_tracee(self) -> Tracee:
        """The calling thread's own thread of the stub for injected calls."""
        return thread_tracees.tracee_for(self.platform.acquire, self.live_stub(), Use.CALL)

    def live_stub(self) -> StubProcess:
        """The process.  Raises `Released`, `StubDied`, and `WrongThread` in a forked process."""
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
        """The process, or None; waits until a release that is under way has been granted or refused."""
        with self._lock:
            return self.stub_process

    def is_leased(self, stub: StubProcess) -> bool:
        """Whether this is a lease on that process; waits as `_settled_stub` does."""
        with self._lock:
            return self.stub_process is stub

    # ------------------------------------------------------------------------------------------------------- faults

    def remember_fault(self, context: FaultMemory) -> None:
        """The context's last switch ended in a fault here."""
        with self._lock:
            self._faulted.add(context)

    def forget_context(self, context: FaultMemory) -> None:
        """The context has no last fault here any more."""
        with self._lock:
            self._faulted.discard(context)

    def _forget_faults(self, begin: int, end: int) -> None:
        with self._lock:
            contexts = list(self._faulted)
        for context in contexts:
            context.forget_fault(self, begin, end)

    # ------------------------------------------------------------------------------------------------------ release

    def release(self, *, wait: bool = True) -> None:
        """Give it back; see the contract.  Seed: subprocess.Release."""
        stub = self._end_lease()
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
            # A switch publishes its tracee and then checks its admission; this withdraws the admissions first and then
            # looks for a tracee.  So one of the two sees the other, as in the interrupt protocol.
            stub.admit_none()
            if stub.is_inhabited():
                self.stub_process = stub
                raise Busy("a guest runs in the address space")
        return stub

    # -------------------------------------------------------------------------------------------------- inspectable

    def inject(self, number: int, *arguments: int) -> int:
        """Make the stub do a system call; see the contract."""
        return self._call(f"system call {number}", number, *arguments)

    @property
    def stub(self) -> Stub:
        """The host process; see the contract."""
        stub = self.stub_process
        if stub is None:
            raise Released("the address space was released")
        return Stub(stub.pid, stub.tids(), stub.page.begin, stub.page.end)
