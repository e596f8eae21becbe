"""The errors of reading and writing results."""

from __future__ import annotations

from pathlib import Path

from worldswitch.harness.errors import CouldNotRun

MAKE_ROOM = "make room there, or name another place by --results"


class ResultError(CouldNotRun):
    """Results cannot be read; the message names the file and, where there is one, the line."""


class Damaged(ResultError):
    """A file of results contradicts itself or its format."""


class CannotWrite(Exception):
    """A file of a run's folder cannot be written; the message has its path and the system's error."""

    def __init__(self, path: Path, problem: OSError) -> None:
        super().__init__(f"{path}: cannot be written: {problem.strerror}")
