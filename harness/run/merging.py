"""Merges runs of different cells, such as the shards of a matrix, into the folder of one run.

Runs that have the same cell are refused.  Differences between the runs are told, since one page shows them together.
A cell of the matrix that no run has is in the plan with the shard that is missing, so that its trials are `miss`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from worldswitch.harness.cell_name import parse
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.expectations.outcome import Problem
from worldswitch.harness.results import manifest
from worldswitch.harness.results.errors import MAKE_ROOM, CannotWrite
from worldswitch.harness.results.manifest import Manifest, PlannedCell, PlannedScenario
from worldswitch.harness.results.reader import KeptRun
from worldswitch.harness.results.writer import replace
from worldswitch.harness.run import shards


def check(runs: Sequence[KeptRun]) -> None:
    """Refuse runs that cannot be merged.  Raises `CouldNotRun`."""
    owners: dict[str, Path] = {}
    for run in runs:
        _whole(run)
        if not run.cells:
            raise CouldNotRun(f"{run.folder}: the run has no cells: it ended before its environments were known")
        for cell in run.cells:
            name = str(cell.name)
            if name in owners:
                raise CouldNotRun(f"{owners[name]} and {run.folder} both have the cell {name}; merge only one of them")
            owners[name] = run.folder


def differences(runs: Sequence[KeptRun]) -> Iterator[str]:
    """Yield what is not the same in all runs."""
    first = runs[0]
    for run in runs[1:]:
        for what, value in _compared(run.manifest).items():
            if value != _compared(first.manifest)[what]:
                yield f"{run.folder} has other {what} than {first.folder}"


def _compared(found: Manifest) -> Mapping[str, Any]:
    return {
        "versions": found.versions,
        "scenarios": {one.name for one in found.scenarios},
        "seeds": found.seed,
        "repetitions": found.request.get("repeat"),
        "shards": str(found.request.get("shard", "")).partition("/")[2],
    }


def lost(runs: Sequence[KeptRun]) -> list[PlannedCell]:
    """Return the cells of the whole matrix that no run has, each with the shard to run again."""
    there = {str(cell.name) for run in runs for cell in run.cells}
    found: dict[str, PlannedCell] = {}
    for run in runs:
        whole, parts = _whole(run)
        for number, own in enumerate(shards.split(whole, parts), 1):
            for name in (one for one in own if one not in there):
                found.setdefault(name, _lost(name, f"{number}/{parts}", run.manifest.seed))
    return list(found.values())


class _Part(msgspec.Struct):
    shard: str = ""
    whole: tuple[str, ...] = ()


def _whole(run: KeptRun) -> tuple[tuple[str, ...], int]:
    """Return the cells of the matrix of which the run is a shard, and the number of shards.  Raises `CouldNotRun`."""
    try:
        part = msgspec.convert(run.manifest.request, _Part)
        return part.whole, shards.parse(part.shard)[1] if part.whole else 1
    except ValueError as problem:  # msgspec's too
        raise CouldNotRun(f"{run.folder / manifest.FILE}: request: not a shard of a matrix: {problem}") from problem


def _lost(name: str, shard: str, seed: int) -> PlannedCell:
    cell = parse(name)
    reason = f"no merged run has this cell: shard {shard} is lost"
    problem = Problem(reason, f"run the matrix with --shard {shard} --seed {seed}, and merge again")
    return PlannedCell(environment=cell.environment, platform=cell.platform, file=cell.file, problem=problem)


def merge(runs: Sequence[KeptRun], folder: Path) -> None:
    """Write the merged run to `folder`, which is empty.  Raises `CouldNotRun`."""
    try:
        for run in runs:
            for cell in run.cells:
                if cell.path.exists():
                    shutil.copyfile(cell.path, folder / cell.plan.file)
        _judgements(runs, folder / manifest.JUDGEMENTS)
        text = msgspec.json.format(msgspec.json.encode(_manifest(runs, folder.name)), indent=1)
        replace(folder / manifest.FILE, text + b"\n")  # last: a folder without it is no run
    except (OSError, CannotWrite) as problem:
        raise CouldNotRun(f"{folder} cannot be written: {problem}; {MAKE_ROOM}") from problem


def _judgements(runs: Sequence[KeptRun], path: Path) -> None:
    found = (run.folder / manifest.JUDGEMENTS for run in runs)
    lines = b"".join(one.read_bytes() for one in found if one.exists())
    if lines:
        path.write_bytes(lines)


def _manifest(runs: Sequence[KeptRun], name: str) -> Manifest:
    every = [run.manifest for run in runs]
    ends = [one.finished for one in every if one.finished is not None]
    scenarios: dict[str, PlannedScenario] = {one.name: one for found in every for one in found.scenarios}
    request = every[0].request | {"kernels": _union(every, "kernels"), "cells": [], "shard": "", "whole": []}
    cells = {str(cell.name): cell for cell in (*(cell for found in every for cell in found.cells), *lost(runs))}
    order = [one for run in runs for one in _whole(run)[0]]
    return msgspec.structs.replace(
        every[0],
        run=name,
        started=min(one.started for one in every),
        finished=max(ends) if len(ends) == len(every) else None,
        interrupted=any(one.interrupted for one in every),
        request=request,
        expectations=every[0].expectations if len({one.expectations for one in every}) == 1 else "",
        scenarios=tuple(scenarios.values()),
        cells=tuple(cells[one] for one in dict.fromkeys((*(one for one in order if one in cells), *cells))),
        stale=tuple(dict.fromkeys(one for found in every for one in found.stale)),
    )


def _union(every: Sequence[Manifest], field: str) -> list[Any]:
    return list(dict.fromkeys(one for found in every for one in found.request.get(field, ())))
