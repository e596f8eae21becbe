"""The cache folder: whatever may be kept between runs."""

from __future__ import annotations

import os
from pathlib import Path

from worldswitch.harness.errors import Unobtainable


def cache(*parts: str) -> Path:
    """Return a folder for what may be kept between runs, made if need be."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if base.startswith("/") else Path.home() / ".cache"
    folder = root.joinpath("worldswitch", *parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise Unobtainable(
            f"the cache folder {folder} cannot be made: {problem.strerror}",
            "set XDG_CACHE_HOME to a folder of yours that can be written",
        ) from problem
    return folder
