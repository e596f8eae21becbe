"""The results, as JSON lines: one for each change that was tried."""

from __future__ import annotations

import contextlib
import enum
import hashlib
from pathlib import Path

import msgspec
from bite.mutation import Mutation


class Fate(enum.StrEnum):
    """What became of a change."""

    KILLED = "killed"  #: a scenario or test failed
    TIMEOUT = "timeout"  #: one did not end
    CRASH = "crash"  #: its process died, or the reference could not be imported or tried
    SURVIVED = "survived"
    UNDECIDED = "undecided"  #: what was run did not notice it, but not all was run that could


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one change."""

    id: str
    file: str
    function: str
    operator: str
    before: str
    after: str
    fate: Fate
    by: str = ""  #: the scenario or test
    assertion: bool = False  #: by its own assertion
    reason: str = ""
    tried: int = 0  #: scenarios and tests that ran
    seconds: float = 0.0
    mark: str = ""  #: the state of the file that was changed


def result(change: Mutation, fate: Fate, **more: object) -> Result:
    """Return the result of a change."""
    same = {name: getattr(change, name) for name in ("id", "file", "function", "operator", "before", "after")}
    return Result(**same, fate=fate, **more)  # type: ignore[arg-type]


def append(path: Path, found: Result) -> None:
    """Add a result to the file, in one write."""
    with path.open("ab", buffering=0) as file:
        file.write(msgspec.json.encode(found) + b"\n")


def lines(path: Path) -> list[Result]:
    """Return every result, in the order in which they were written; a line that is cut off is left out."""
    found = []
    for line in path.read_bytes().splitlines() if path.exists() else ():
        with contextlib.suppress(msgspec.DecodeError):
            found.append(msgspec.json.decode(line, type=Result))
    return found


def read(path: Path) -> dict[str, Result]:
    """Return the last result of each change."""
    return {one.id: one for one in lines(path)}


def mark(path: Path) -> str:
    """Return a digest of a file's text."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
