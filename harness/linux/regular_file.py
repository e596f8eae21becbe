"""Reads a regular file of bounded size, without waiting for a pipe or reading a device or an endless stream."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MOST_BYTES = 1 << 20  #: of a file that people write; the largest real filters have 100 KB
_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


def read(path: Path, most: int = MOST_BYTES) -> bytes:
    """Return the content of a regular file of at most `most` bytes.

    Raises OSError, whose `strerror` says why the file cannot be read: the system's reason, or what the file is.
    """
    try:
        if kind := _kind(path.stat().st_mode):  # before it is opened, which may rewind a tape
            raise _refused(path, f"it is {kind}, and a regular file is needed")
        descriptor = os.open(path, _FLAGS)
    except ValueError as problem:  # a NUL or a lone surrogate in the name
        raise _refused(path, str(problem)) from problem
    with open(descriptor, "rb", buffering=0) as file:
        status = os.fstat(descriptor)
        if kind := _kind(status.st_mode):
            raise _refused(path, f"it is {kind}, and a regular file is needed")
        if status.st_size > most or len(content := _content(file.fileno(), most)) > most:
            raise _refused(path, f"it is larger than {most >> 20} MiB")
    return content


def _content(descriptor: int, most: int) -> bytes:
    """Return at most `most` + 1 bytes; a file may grow, and those of /proc have no size."""
    parts = []
    while most >= 0 and (part := os.read(descriptor, min(most + 1, 1 << 20))):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def _kind(mode: int) -> str:
    """Return what the file is; empty if it is a regular one."""
    if stat.S_ISREG(mode):
        return ""
    return next((name for is_kind, name in _KINDS if is_kind(mode)), "no regular file")


def _refused(path: Path, why: str) -> OSError:
    return OSError(errno.EINVAL, why, str(path))
