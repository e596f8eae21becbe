"""What is wrong with results, and with the place where they are kept."""

from __future__ import annotations

from pathlib import Path

MAKE_ROOM = "make room there, or name another place by --results"


class ResultError(Exception):
    """These are no results; the message names the file and the line."""


class Damaged(ResultError):
    """A line is not what it should be."""


class CannotWrite(Exception):
    """A run's folder takes no more; the message names the file and says what the system said."""

    def __init__(self, path: Path, problem: OSError) -> None:
        super().__init__(f"{path}: cannot be written: {problem.strerror}")
