"""What the guest's kernel says of itself: its log, and whether it is tainted."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

LOG = "/dev/kmsg"
RECORD = 1 << 13  #: no record of the kernel's is longer


class KernelLogReader:
    """The kernel's log from where it was last read."""

    def __init__(self, path: str = LOG) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def new(self) -> list[str]:
        """The lines that came since, each after its level and the seconds since boot: ``4 12.345678 text``."""
        found: list[str] = []
        while True:
            try:
                record = os.read(self._fd, RECORD)
            except BrokenPipeError:  # older records were overwritten before we came
                found.append("4 0.000000 worldswitch: part of the kernel's log was overwritten")
                continue
            except BlockingIOError:
                return found
            if not record:
                return found
            found += lines(record.decode(errors="replace"))


def lines(record: str) -> list[str]:
    """The lines of a record of /dev/kmsg: ``priority,number,microseconds,flags;text``, then what belongs to it."""
    head, _, text = record.partition(";")
    priority, _, micros = [*head.split(","), "0", "0", "0"][:3]
    # Lines that begin with a blank are a dictionary for programs.
    said = [line for line in text.splitlines() if not line.startswith(" ")]
    return [f"{int(priority) & 7} {int(micros) / 1e6:.6f} {line}" for line in said]


def taint() -> int:
    """The kernel's taint flags; 0 where they cannot be read."""
    with suppress(OSError, ValueError):
        return int(Path("/proc/sys/kernel/tainted").read_text())
    return 0
