"""Makes a new folder for the results of a run."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

from worldswitch.harness.errors import CouldNotRun


def new_folder(parent: Path) -> Path:
    """Make the folder of a run, named by its start and a random suffix.  Raises `CouldNotRun`."""
    folder = parent / f"{time.strftime('%Y%m%dT%H%M%S')}-{uuid.uuid4().hex[:4]}"
    try:
        folder.mkdir(parents=True)
    except OSError as problem:
        raise CouldNotRun(
            f"results cannot go to {folder}: {problem.strerror}; name another place by --results"
        ) from problem
    return folder
