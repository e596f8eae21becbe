"""A new folder for a run's results."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

from worldswitch.harness.errors import CouldNotRun


def new_folder(parent: Path) -> Path:
    """A new folder for a run's results."""
    folder = parent / f"{time.strftime('%Y%m%dT%H%M%S')}-{uuid.uuid4().hex[:4]}"
    try:
        folder.mkdir(parents=True)
    except OSError as problem:
        raise CouldNotRun(
            f"results cannot go to {folder}: {problem.strerror}; name another place by --results"
        ) from problem
    return folder
