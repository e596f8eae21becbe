"""Read the log and the taint flags of the guest's kernel."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

LOG = "/dev/kmsg"
RECORD = 1 << 13  #: bytes; the kernel's longest record


class KernelLogReader:
    """Reads the kernel's log incrementally."""

    def __init__(self, path: str = LOG) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def new(self) -> list[str]:
        """Return the lines since the last call, with level and seconds since boot: ``4 12.345678 text``."""
        found: list[str] = []
        while True:
            try:
                record = os.read(self._fd, RECORD)
            except BrokenPipeError:  # older records were overwritten before this read
                found.append("4 0.000000 worldswitch: part of the kernel's log was overwritten")
                continue
            except BlockingIOError:
                return found
            if not record:
                return found
            found += lines(record.decode(errors="replace"))


def lines(record: str) -> list[str]:
    """Return the lines of a record of /dev/kmsg: ``priority,number,microseconds,flags;text``."""
    head, _, text = record.partition(";")
    priority, _, micros = [*head.split(","), "0", "0", "0"][:3]
    # Lines that begin with a space are machine-readable attributes.
    texts = [line for line in text.splitlines() if not line.startswith(" ")]
    return [f"{int(priority) & 7} {int(micros) / 1e6:.6f} {line}" for line in texts]


def taint() -> int:
    """Return the kernel's taint flags, 0 if they cannot be read."""
    with suppress(OSError, ValueError):
        return int(Path("/proc/sys/kernel/tainted").read_text())
    return 0
