"""The export formats, and the function that writes each."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.report.export import ctrf, database, junit, ktap
from worldswitch.harness.report.matrix import views
from worldswitch.harness.results.reader import KeptRun


def _junit(run: KeptRun, path: Path) -> None:
    junit.write(run.outcomes, path, run.folder, run.manifest.stale)


def _ktap(run: KeptRun, path: Path) -> None:
    path.write_text(ktap.text(run), encoding="utf-8")


def _ctrf(run: KeptRun, path: Path) -> None:
    path.write_text(ctrf.text(run), encoding="utf-8")


def _sqlite(run: KeptRun, path: Path) -> None:
    try:
        database.write(run, path)
    except sqlite3.Error as problem:
        raise CouldNotRun(f"cannot write runs to {path}: {problem}; name a new file or such a database") from problem


#: By format: the function that writes it, and the default file name.
WRITERS: Mapping[str, tuple[Callable[[KeptRun, Path], None], str]] = {
    "junit": (_junit, "junit.xml"),
    "ktap": (_ktap, "results.ktap"),
    "ctrf": (_ctrf, "ctrf.json"),
    "sqlite": (_sqlite, "results.sqlite"),
}


def export(name: str, kind: str, output: Path | None) -> Status:
    """Write a run in the format `kind`, by default to its own folder; raises `CouldNotRun`."""
    run = views.read(name)
    writer, file = WRITERS[kind]
    path = output or run.folder / file
    views.write(path, lambda: writer(run, path))
    print(path)
    return Status.AS_EXPECTED
