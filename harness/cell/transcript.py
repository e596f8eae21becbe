"""The transcript of a trial, in memory that outlives the trial's process.

The ring is shared between the trial and its supervisor: a note is a copy without a system call, the last lines survive
SIGKILL, and the size is fixed.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
import time

SIZE = 1 << 16
_TOTAL = struct.Struct("=Q")


class _Lock:
    """A lock that is free after a fork, since its owner in the parent does not exist in the child."""

    def __init__(self) -> None:
        self.renew()
        os.register_at_fork(after_in_child=self.renew)

    def renew(self) -> None:
        self.lock = threading.Lock()


_lock = _Lock()


class Transcript:
    """The last lines noted, each with the seconds since the trial began."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _TOTAL.size + SIZE)
        self.begin = time.monotonic()  #: the origin of its times, in seconds of CLOCK_MONOTONIC

    def clear(self) -> None:
        """Begin a new transcript in the same memory."""
        _TOTAL.pack_into(self._memory, 0, 0)
        self.begin = time.monotonic()

    def note(self, text: str) -> None:
        """Add a line."""
        line = f"{time.monotonic() - self.begin:10.6f}  {text}\n".encode(errors="replace")[-SIZE:]
        with _lock.lock:
            (total,) = _TOTAL.unpack_from(self._memory)
            at = total % SIZE
            fits = min(len(line), SIZE - at)
            self._memory[_TOTAL.size + at : _TOTAL.size + at + fits] = line[:fits]
            self._memory[_TOTAL.size : _TOTAL.size + len(line) - fits] = line[fits:]
            _TOTAL.pack_into(self._memory, 0, total + len(line))

    def lines(self) -> list[str]:
        """Return the lines in the ring, the oldest first, after ``...`` if earlier ones were dropped."""
        (total,) = _TOTAL.unpack_from(self._memory)
        ring = self._memory[_TOTAL.size :]
        if total <= SIZE:
            return ring[:total].decode(errors="replace").splitlines()
        at = total % SIZE
        whole = (ring[at:] + ring[:at]).partition(b"\n")[2]  # the oldest line is incomplete
        return ["...", *whole.decode(errors="replace").splitlines()]
