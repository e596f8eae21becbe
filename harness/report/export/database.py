"""Exports runs to an SQLite database with the tables of `database.sql`; a run of the same name is replaced."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from importlib import resources
from pathlib import Path

from worldswitch.harness.expectations.outcome import Judged
from worldswitch.harness.linux.release import series
from worldswitch.harness.results import matrix_axes
from worldswitch.harness.results.reader import KeptCell, KeptRun

TABLES = ("facts", "probes", "trials", "cells", "runs")  #: in the order of deletion: referring tables first


def write(run: KeptRun, path: Path) -> None:
    """Add `run` to the database at `path`; raises `sqlite3.Error` if it is not a database with these tables."""
    with closing(sqlite3.connect(path)) as database, database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'runs'").fetchone():
            database.executescript(resources.files(__package__).joinpath("database.sql").read_text(encoding="utf-8"))
        database.execute("BEGIN")
        for table in TABLES:
            database.execute(f"DELETE FROM {table} WHERE run = ?", (run.manifest.run,))
        _insert(database, "runs", [_run(run)])
        _insert(database, "cells", [_cell(run, cell) for cell in run.cells])
        for cell in run.cells:
            head = (run.manifest.run, str(cell.name))
            _insert(database, "trials", [(*head, *_trial(one)) for one in cell.judged])
            _insert(database, "probes", [(*head, *row) for row in _probes(cell)])
            _insert(database, "facts", [(*head, *row) for row in _facts(cell)])


def _insert(database: sqlite3.Connection, table: str, rows: list[tuple[object, ...]]) -> None:
    if rows:
        database.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)


def _run(run: KeptRun) -> tuple[object, ...]:
    manifest = run.manifest
    return manifest.run, manifest.started, manifest.finished, manifest.seed, manifest.kernel


def _cell(run: KeptRun, cell: KeptCell) -> tuple[object, ...]:
    row, profile = matrix_axes.place(cell.name)
    seen = cell.header.fingerprint if cell.header else None
    release = matrix_axes.release(seen.kernel) if seen else ""
    return (
        *(run.manifest.run, str(cell.name), row.kernel, series(release or row.kernel), release),
        *(cell.name.environment.partition(":")[0], profile, row.platform, cell.seconds),
        *(seen.behaviour if seen else "", cell.problem.reason if cell.problem else ""),
    )


def _trial(one: Judged) -> tuple[object, ...]:
    trial, judgement = one.trial, one.judgement
    wanted = " ".join(sorted(verdict.value for verdict in judgement.wanted))
    return (
        *(trial.scenario, trial.scenario.partition("::")[0], " ".join(trial.ids), trial.verdict.value),
        *(int(judgement.expected), wanted, judgement.reason, judgement.rule, trial.reason, trial.detail),
        *("\n".join(trial.transcript), trial.claim, " ".join(trial.clauses), trial.seconds),
    )


def _probes(cell: KeptCell) -> Iterator[tuple[str, str, str]]:
    found = cell.header.fingerprint.probes if cell.header else {}
    yield from ((name, one.state, one.detail) for name, one in found.items())


def _facts(cell: KeptCell) -> Iterator[tuple[str, str]]:
    yield from (cell.header.fingerprint.facts if cell.header else {}).items()
