"""Reads a small text file without following what is not a file: a FIFO, a device, an endless stream."""

from __future__ import annotations

import os
import stat
from pathlib import Path

MOST_BYTES = 4 << 20  #: the largest real filters have 100 KB
_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class Unreadable(Exception):
    """The file could not be read; the message gives the reason."""


def read(path: Path) -> bytes:
    """Return the content of a regular file of at most `MOST_BYTES`.  Raises `Unreadable`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the name
        raise Unreadable(f"cannot be read: {getattr(problem, 'strerror', None) or problem}") from problem
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "no regular file")
        raise Unreadable(f"cannot be read: it is {kind}, and a regular file is needed")
    with open(descriptor, "rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise Unreadable(f"cannot be read: it is larger than {MOST_BYTES >> 20} MiB")
    return content
