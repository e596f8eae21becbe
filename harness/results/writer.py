"""Keeps a run's folder as the run goes: the manifest, each cell's records, and the judgements on them.

Every line is written whole or not at all, and the manifest is replaced in one step, so that whenever the run ends what
was reached can be read.  When the folder can take no more, `CannotWrite` says so.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from worldswitch.harness.cell import records
from worldswitch.harness.cell.records import Record
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.expectations.outcome import CellOutcome, Judged, Stale, is_plain
from worldswitch.harness.results import manifest
from worldswitch.harness.results.errors import CannotWrite
from worldswitch.harness.results.manifest import Manifest, PlannedCell

_APPENDING = threading.Lock()


def append(path: Path, line: bytes) -> None:
    """Add a line to a file, which several threads may do; raises `CannotWrite`, and then has added nothing."""
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
    """Put a file in place of what was there, whole or not at all; raises `CannotWrite`."""
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_bytes(content)
        new.replace(path)
    except OSError as problem:
        with contextlib.suppress(OSError):
            new.unlink()
        raise CannotWrite(path, problem) from problem


class CellWriter:
    """One cell's part of the folder."""

    def __init__(self, folder: Path, cell: CellName) -> None:
        self._cell = cell
        self._records = folder / cell.file
        self._judgements = folder / manifest.JUDGEMENTS

    def enter(self, record: Record, judged: Judged | None = None) -> None:
        """Keep a record, and first what is thought of it: a verdict on the page was always judged."""
        if judged:
            self.judge(judged)
        append(self._records, records.encode(record))

    def judge(self, judged: Judged) -> None:
        """Keep a judgement, if there is anything to it."""
        if not is_plain(judged):
            append(self._judgements, msgspec.json.encode(manifest.ruling(self._cell, judged)))


class RunWriter:
    """The whole folder's; cells may start and end in any order, from any thread."""

    def __init__(self, folder: Path, new: Manifest) -> None:
        self._folder = folder
        self._manifest = new
        self._cells: dict[CellName, PlannedCell] = {}
        self._lock = threading.Lock()
        self._write()

    def plan(self, cells: Iterable[PlannedCell], expectations: str) -> None:
        """These are all the cells, judged by the rules of this digest."""
        self._cells = {cell.name: cell for cell in cells}
        self._note({}, expectations=expectations)

    def book(self, cell: CellName) -> CellWriter:
        """Where what a cell says goes."""
        return CellWriter(self._folder, cell)

    def cell_starts(self, cell: CellName) -> None:
        """A planned cell starts."""
        self._note({cell: {"started": time.time()}})

    def cell_ends(self, outcome: CellOutcome, facts: Mapping[str, str]) -> None:
        """A planned cell is done, and this is what is known of its environment now."""
        self._note({outcome.cell: {"finished": time.time(), "problem": outcome.problem, "facts": dict(facts)}})

    def finish(self, *, interrupted: bool, stale: Iterable[Stale] = ()) -> None:
        """The run is done, and has shown these rules to be out of date."""
        self._note({}, finished=time.time(), interrupted=interrupted, stale=tuple(stale))

    def _note(self, cells: Mapping[CellName, Mapping[str, Any]], **changes: Any) -> None:
        with self._lock:
            for name, news in cells.items():
                self._cells[name] = msgspec.structs.replace(self._cells[name], **news)
            self._manifest = msgspec.structs.replace(self._manifest, cells=tuple(self._cells.values()), **changes)
            self._write()

    def _write(self) -> None:
        text = msgspec.json.format(msgspec.json.encode(self._manifest), indent=1)
        replace(self._folder / manifest.FILE, text + b"\n")
