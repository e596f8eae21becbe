"""Guest memory: memfds that the guest and this process both map.

One region is one memfd, mapped into the guest's address space; guest writes are visible here at once.  Segments of a
program that share a page share a region.
"""

from __future__ import annotations

import mmap
import os
from bisect import bisect_right

from worldswitch.harness.contract import Access, AddressSpace

PAGE = mmap.PAGESIZE


def whole_pages(size: int) -> int:
    """Return the size rounded up to whole pages."""
    return -(-size // PAGE) * PAGE


class BadPointer(Exception):
    """The guest passed an address outside its memory: EFAULT."""


class Region:
    """`size` bytes of guest memory at `address`; both page-aligned."""

    def __init__(self, space: AddressSpace, address: int, size: int, access: Access) -> None:
        self.address, self.size = address, size
        self.file = os.memfd_create("worldswitch-guest-memory")
        os.ftruncate(self.file, size)
        self.bytes = mmap.mmap(self.file, size)
        space.map_file(address, self.file, 0, size, access)

    @property
    def end(self) -> int:
        """The first address after the region."""
        return self.address + self.size

    def close(self) -> None:
        """Unmap this process's side and close the memfd."""
        self.bytes.close()
        os.close(self.file)


class GuestMemory:
    """All regions of one guest."""

    def __init__(self, space: AddressSpace) -> None:
        self._space = space
        self._regions: list[Region] = []  # by address

    def add(self, address: int, size: int, access: Access) -> Region:
        """Map zeroed memory at `address`, which must be free; both page-aligned."""
        region = Region(self._space, address, size, access)
        self._regions.insert(bisect_right([one.address for one in self._regions], address), region)
        return region

    def remove(self, address: int, size: int) -> None:
        """Unmap a range from the guest; this process keeps a region that the range covers only in part."""
        self._space.unmap(address, size)
        for region in [one for one in self._regions if address <= one.address and one.end <= address + size]:
            self._regions.remove(region)
            region.close()

    def read(self, address: int, length: int) -> bytes:
        """Return `length` bytes of guest memory.  Raises `BadPointer`."""
        region, offset = self._find(address, length)
        return region.bytes[offset : offset + length]

    def write(self, address: int, contents: bytes) -> None:
        """Write to guest memory.  Raises `BadPointer`."""
        region, offset = self._find(address, len(contents))
        region.bytes[offset : offset + len(contents)] = contents

    def text(self, address: int, limit: int = 4096) -> bytes:
        """Return the bytes up to the next zero, which must come within `limit` bytes.  Raises `BadPointer`."""
        region, offset = self._find(address, 1)
        end = region.bytes.find(b"\0", offset, offset + limit)
        if end < 0:
            raise BadPointer(f"unterminated string at {address:#x}")
        return region.bytes[offset:end]

    def close(self) -> None:
        """Close every region; the guest's mappings stay."""
        for region in self._regions:
            region.close()
        self._regions.clear()

    def _find(self, address: int, length: int) -> tuple[Region, int]:
        for region in self._regions:
            if region.address <= address and address + length <= region.end:
                return region, address - region.address
        raise BadPointer(f"{length} bytes at {address:#x}")
