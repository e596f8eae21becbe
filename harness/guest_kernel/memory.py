"""Guest memory as this side sees it: files in memory that are mapped at both ends.

A region is one file, mapped once into the guest's address space; what the guest writes stands here at once.  Segments
of a program that share a page share a region.
"""

from __future__ import annotations

import mmap
import os
from bisect import bisect_right

from worldswitch.harness.contract import Access, AddressSpace

PAGE = mmap.PAGESIZE


class BadPointer(Exception):
    """The guest named memory that it does not have: EFAULT."""


class Region:
    """`size` bytes of guest memory at `address`; both in whole pages."""

    def __init__(self, space: AddressSpace, address: int, size: int, access: Access) -> None:
        self.address, self.size = address, size
        self.file = os.memfd_create("worldswitch-personality")
        os.ftruncate(self.file, size)
        self.bytes = mmap.mmap(self.file, size)
        space.map_file(address, self.file, 0, size, access)

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.address + self.size

    def close(self) -> None:
        """Let go of this side's mapping."""
        self.bytes.close()
        os.close(self.file)


class GuestMemory:
    """All regions of one guest."""

    def __init__(self, space: AddressSpace) -> None:
        self._space = space
        self._regions: list[Region] = []  # by address

    def add(self, address: int, size: int, access: Access) -> Region:
        """Give the guest zeros at `address`, where it has nothing; in whole pages."""
        region = Region(self._space, address, size, access)
        self._regions.insert(bisect_right([one.address for one in self._regions], address), region)
        return region

    def remove(self, address: int, size: int) -> None:
        """Take away what the guest has there; a region that lies there in part stays readable from this side."""
        self._space.unmap(address, size)
        for region in [one for one in self._regions if address <= one.address and one.end <= address + size]:
            self._regions.remove(region)
            region.close()

    def read(self, address: int, length: int) -> bytes:
        """`length` bytes of the guest's; raises `BadPointer`."""
        region, offset = self._find(address, length)
        return region.bytes[offset : offset + length]

    def write(self, address: int, contents: bytes) -> None:
        """Write to the guest's memory; raises `BadPointer`."""
        region, offset = self._find(address, len(contents))
        region.bytes[offset : offset + len(contents)] = contents

    def text(self, address: int, most: int = 4096) -> bytes:
        """The bytes up to the next zero; raises `BadPointer`."""
        region, offset = self._find(address, 1)
        end = region.bytes.find(b"\0", offset, offset + most)
        if end < 0:
            raise BadPointer(f"no end of a text at {address:#x}")
        return region.bytes[offset:end]

    def close(self) -> None:
        """Let go of all of it."""
        for region in self._regions:
            region.close()
        self._regions.clear()

    def _find(self, address: int, length: int) -> tuple[Region, int]:
        for region in self._regions:
            if region.address <= address and address + length <= region.end:
                return region, address - region.address
        raise BadPointer(f"{length} bytes at {address:#x}")
