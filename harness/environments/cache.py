"""The cache folder, shared by all runs of this user, and its id, a label on its containers in shared engines."""

from __future__ import annotations

import os
import tempfile
import uuid
from contextlib import suppress
from pathlib import Path

from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.linux import regular_file

LABEL = "worldswitch.run"  #: label of every container: the id of its run
PLACE_LABEL = "worldswitch.place"  #: label of every container: the id of the cache that knows the run


def cache(*parts: str) -> Path:
    """Return a folder below the cache, created if missing.  Raises `Unobtainable`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        root = Path(base) if base.startswith("/") else Path.home() / ".cache"
    except RuntimeError as problem:  # neither HOME nor an entry in /etc/passwd
        raise Unobtainable(
            f"user {os.getuid()} has no home for the cache folder", "set HOME or XDG_CACHE_HOME"
        ) from problem
    folder = root.joinpath("worldswitch", *parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise Unobtainable(
            f"the cache folder {folder} cannot be created: {problem.strerror}",
            "set XDG_CACHE_HOME to a writable folder",
        ) from problem
    return folder


def place() -> str:
    """Return the id of this cache, drawn at random on first use."""
    file = cache() / "place"
    if not file.exists():
        with tempfile.NamedTemporaryFile("w", dir=file.parent) as drawn, suppress(FileExistsError):
            drawn.write(uuid.uuid4().hex)
            drawn.flush()
            os.link(drawn.name, file)  # atomic: of two concurrent runs the first wins
    return regular_file.read(file).decode(errors="replace")
