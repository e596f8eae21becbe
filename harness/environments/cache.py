"""The cache folder, shared by all runs of this user."""

from __future__ import annotations

import os
from pathlib import Path

from worldswitch.harness.errors import Unobtainable


def cache(*parts: str) -> Path:
    """Return a folder below the cache, created if missing.  Raises `Unobtainable`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if base.startswith("/") else Path.home() / ".cache"
    folder = root.joinpath("worldswitch", *parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise Unobtainable(
            f"the cache folder {folder} cannot be created: {problem.strerror}",
            "set XDG_CACHE_HOME to a writable folder",
        ) from problem
    return folder
