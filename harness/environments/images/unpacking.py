"""Unpack a tar archive that is not trusted: below one folder, and bounded in entries, bytes and time.

Names, links and the links that earlier entries or archives left are followed before each entry is written; `tarfile`
itself has such filters since Python 3.11.4 only, and they do not keep owners and modes, which a root file system needs.
"""

from __future__ import annotations

import os
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path, PurePath

MOST_ENTRIES = 400_000
MOST_BYTES = 8 << 30  #: of content; a file with holes counts as if it had none
LONGEST_NAME = 4096


class UnsafeArchive(tarfile.TarError):
    """An entry leads outside of the folder, or the archive exceeds a bound."""


def unpack(content: tarfile.TarFile, folder: Path, seconds: float) -> None:
    """Unpack all but devices and pipes into `folder`, over what it has, with owners if this user may set them.

    Raises `UnsafeArchive`, another TarError, or OSError.
    """
    content.extraction_filter = lambda entry, _: entry  # ignored before Python 3.11.4, which has no filters
    root = Path(os.path.realpath(folder))
    content.extractall(root, _members(content, root, time.monotonic() + seconds), numeric_owner=True)


def _members(content: tarfile.TarFile, root: Path, until: float) -> Iterator[tarfile.TarInfo]:
    """Yield each entry right before it is unpacked, when its place is known to be free and inside."""
    size = 0
    for number, entry in enumerate(content, 1):
        size += entry.size
        if number > MOST_ENTRIES or size > MOST_BYTES:
            raise UnsafeArchive(f"more than {MOST_ENTRIES} entries or {MOST_BYTES} bytes")
        if time.monotonic() > until:
            raise UnsafeArchive(f"unpacking took too long, at {_shown(entry.name)}")
        place = _inside(root, entry.name)
        if entry.islnk():
            _inside(root, entry.linkname)
        if entry.isdev():
            continue
        if entry.isdir():
            _check(root, place, entry.name)  # its mode is set through a link
        elif place.is_symlink() or place.is_file():
            place.unlink()  # else the content would go through a link to another file
        yield entry


def _inside(root: Path, name: str) -> Path:
    """Return the place of an entry, with the links in its folder followed.  Raises `UnsafeArchive` if it is outside."""
    path = PurePath(name)
    if path.is_absolute() or ".." in path.parts or len(name) > LONGEST_NAME or "\0" in name:
        raise UnsafeArchive(f"{_shown(name)}: outside of {root}, or no name")
    place = root / path
    if place == root:
        return root
    return _check(root, place.parent, name) / place.name


def _check(root: Path, place: Path, name: str) -> Path:
    found = Path(os.path.realpath(place))
    if not found.is_relative_to(root):
        raise UnsafeArchive(f"{_shown(name)}: outside of {root}, by a link to {found}")
    return found


def _shown(name: str) -> str:
    return ascii(name[:200])
