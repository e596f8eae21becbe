"""Writes a run's folder while the run goes on: the manifest, the records of each cell, and the judgements.

A line is appended entirely or not at all, and the manifest is replaced by rename, so the folder can be read whenever
the run ends.  Raises `CannotWrite` when the folder cannot be written.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from worldswitch.harness.cell import records
from worldswitch.harness.cell.records import Record
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.expectations.outcome import CellOutcome, Judged, Stale, is_plain
from worldswitch.harness.results import manifest
from worldswitch.harness.results.errors import CannotWrite
from worldswitch.harness.results.manifest import Manifest, PlannedCell


def new_folder(parent: Path, prefix: str = "") -> Path:
    """Make the folder of a run, named by its start and a random suffix.  Raises `CouldNotRun`.

    With a `prefix`, the run is never `last`: it is part of another command.
    """
    folder = parent / f"{prefix}{time.strftime('%Y%m%dT%H%M%S')}-{uuid.uuid4().hex[:4]}"
    try:
        folder.mkdir(parents=True)
    except OSError as problem:
        raise CouldNotRun(
            f"results cannot go to {folder}: {problem.strerror}; name another place by --results"
        ) from problem
    return folder


_APPENDING = threading.Lock()


def append(path: Path, line: bytes) -> None:
    """Append a line to a file, from any thread.  Raises `CannotWrite`, and then the file is unchanged."""
    try:
        with _APPENDING, path.open("ab", buffering=0) as file:
            end = file.tell()
            try:
                rest = line + b"\n"
                while rest:
                    rest = rest[file.write(rest) or 0 :]
            except OSError:
                with contextlib.suppress(OSError):
                    file.truncate(end)
                raise
    except OSError as problem:
        raise CannotWrite(path, problem) from problem


def replace(path: Path, content: bytes) -> None:
    """Replace a file by rename.  Raises `CannotWrite`, and then the old file is unchanged."""
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_bytes(content)
        new.replace(path)
    except OSError as problem:
        with contextlib.suppress(OSError):
            new.unlink()
        raise CannotWrite(path, problem) from problem


class CellWriter:
    """Writes the records and judgements of one cell."""

    def __init__(self, folder: Path, cell: CellName) -> None:
        self._cell = cell
        self._records = folder / cell.file
        self._judgements = folder / manifest.JUDGEMENTS

    def write(self, record: Record, judged: Judged | None = None) -> None:
        """Write the judgement before the record, so a reader never sees an unjudged verdict."""
        if judged:
            self.write_judgement(judged)
        append(self._records, records.encode(record))

    def write_judgement(self, judged: Judged) -> None:
        """Write a judgement, unless it is plain."""
        if not is_plain(judged):
            trial = {"cell": str(self._cell), "scenario": judged.trial.scenario, "verdict": judged.trial.verdict}
            line = trial | dataclasses.asdict(judged.judgement)
            append(self._judgements, msgspec.json.encode(line, order="deterministic"))


class RunWriter:
    """Writes the folder of a run; cells may start and end in any order, from any thread."""

    def __init__(self, folder: Path, new: Manifest) -> None:
        self._folder = folder
        self._manifest = new
        self._begun = time.monotonic()
        self._cells: dict[CellName, PlannedCell] = {}
        self._lock = threading.Lock()
        self._write()

    def plan(self, cells: Iterable[PlannedCell], expectations: str) -> None:
        """Write the plan: all cells, and the digest of their rules."""
        self._cells = {cell.name: cell for cell in cells}
        self._note({}, expectations=expectations)

    def cell(self, cell: CellName) -> CellWriter:
        """Return the writer of a cell's files."""
        return CellWriter(self._folder, cell)

    def cell_starts(self, cell: CellName) -> None:
        """Note the start of a planned cell."""
        self._note({cell: {"started": self._now()}})

    def cell_ends(self, outcome: CellOutcome, facts: Mapping[str, str]) -> None:
        """Note the end of a planned cell, and the facts of its environment, which a booted machine changes."""
        self._note({outcome.cell: {"finished": self._now(), "problem": outcome.problem, "facts": dict(facts)}})

    def finish(self, *, interrupted: bool, stale: Iterable[Stale] = ()) -> None:
        """Note the end of the run, and the rules that it showed to be out of date."""
        self._note({}, finished=self._now(), interrupted=interrupted, stale=tuple(stale))

    def _now(self) -> float:
        """The time by a clock that is never set, unlike the machine's: a run does not end before it starts."""
        return self._manifest.started + time.monotonic() - self._begun

    def _note(self, cells: Mapping[CellName, Mapping[str, Any]], **changes: Any) -> None:
        with self._lock:
            for name, news in cells.items():
                self._cells[name] = msgspec.structs.replace(self._cells[name], **news)
            self._manifest = msgspec.structs.replace(self._manifest, cells=tuple(self._cells.values()), **changes)
            self._write()

    def _write(self) -> None:
        text = msgspec.json.format(msgspec.json.encode(self._manifest), indent=1)
        replace(self._folder / manifest.FILE, text + b"\n")
