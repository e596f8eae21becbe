"""The memory that a raw tracee shares with this process, at the same address."""

from __future__ import annotations

import ctypes
import mmap
import struct

PAGE = mmap.PAGESIZE
_CODE_SIZE, _DATA, _STACKS, _PAGES = PAGE - 64, PAGE, 2 * PAGE, 12


class Arena:
    """Code in the first page, data in the second, a stack in each of the others."""

    def __init__(self) -> None:
        self._pages = mmap.mmap(-1, _PAGES * PAGE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._anchor = ctypes.c_char.from_buffer(self._pages)
        self.code = ctypes.addressof(self._anchor)
        self.data = self.code + _DATA
        self.ready = self.code + _CODE_SIZE  #: a new process writes here when it has started
        self._used = 0
        self._stacks = 0

    def put(self, code: bytes) -> int:
        """Store `code`, overwriting older code only when the page is full; its address."""
        if self._used + len(code) > _CODE_SIZE:
            self._used = 0
        place = self._used
        self._pages[place : place + len(code)] = code
        self._used += -(-len(code) // 16) * 16
        return self.code + place

    def new_stack(self) -> int:
        """The end of a stack; the ten stacks are used in turn."""
        self._stacks += 1
        return self.code + _STACKS + (self._stacks % (_PAGES - 2) + 1) * PAGE - 128

    def word(self, offset: int = 0) -> int:
        """The word at `offset` in the data."""
        return int(struct.unpack_from("<Q", self._pages, _DATA + offset)[0])

    def write(self, contents: bytes, offset: int = 0) -> int:
        """Write `contents` to the data; its address."""
        self._pages[_DATA + offset : _DATA + offset + len(contents)] = contents
        return self.data + offset

    def write_words(self, *words: int, offset: int = 0) -> int:
        """Write words to the data; their address."""
        return self.write(struct.pack(f"<{len(words)}Q", *(word % 2**64 for word in words)), offset)

    def close(self) -> None:
        """Unmap it in this process."""
        del self._anchor
        self._pages.close()
