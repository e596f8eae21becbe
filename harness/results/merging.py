"""Merges the folders of a run's shards, which machines ran separately, into one.

A cell that several folders have counts where it ran; run twice, it is a contradiction.  A cell that no folder has is a
row of `miss`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from worldswitch.harness.expectations.outcome import Problem
from worldswitch.harness.results import manifest, writer
from worldswitch.harness.results.cell_file import lines
from worldswitch.harness.results.errors import ResultError
from worldswitch.harness.results.manifest import Manifest, PlannedCell
from worldswitch.harness.results.reader import KeptCell, KeptRun

#: Fields of a request that differ between shards.
OF_SHARDS = ("engine", "profiles", "kernels", "cells", "seed", "workers", "install_engine")
LOST = "no merged run has this cell"
REMEDY = "run its shard again, and merge that run too"


class CannotMerge(ResultError):
    """The runs are not shards of one run; the message names what contradicts."""


def merge(runs: Sequence[KeptRun], folder: Path, lost: Mapping[str, Problem] | None = None) -> None:
    """Write the run that these make together to the empty `folder`.

    `lost` has the problem of each environment whose shard is known to be lost.  Raises `CannotMerge`, `CannotWrite`.
    """
    first = runs[0]
    for run in runs[1:]:
        _compare(first, run)
    cells = _cells(runs)
    environments = _environments(runs)
    plans = [*_plans(environments, cells, runs, lost or {})]
    for run, cell in cells.values():
        _copy(run, cell, folder)
    content = msgspec.json.format(msgspec.json.encode(_manifest(runs, folder, plans)), indent=1)
    writer.replace(folder / manifest.FILE, content + b"\n")


def differences(runs: Sequence[KeptRun]) -> Iterator[str]:
    """Yield what differs between the runs and may explain different verdicts."""
    for name in sorted({name for run in runs for name in run.manifest.versions}):
        seen = dict.fromkeys(run.manifest.versions.get(name, "absent") for run in runs)
        if len(seen) > 1:
            yield f"{name} is {' and '.join(seen)}"
    if len(seen := dict.fromkeys(run.manifest.kernel for run in runs)) > 1:
        yield f"the machines ran {' and '.join(seen)}"


def _compare(first: KeptRun, other: KeptRun) -> None:
    """Raise `CannotMerge` unless both runs are parts of one request."""
    if first.folder.resolve() == other.folder.resolve():
        raise CannotMerge(f"{other.folder}: named twice")
    if first.manifest.scenarios != other.manifest.scenarios:
        raise CannotMerge(f"{other.folder}: scenarios: not those of {first.folder}; the runs tested different things")
    one, two = first.manifest.request, other.manifest.request
    for field in sorted((one.keys() | two.keys()) - {*OF_SHARDS}):
        if one.get(field) != two.get(field):
            told = f"{two.get(field)!r}, but {one.get(field)!r} in {first.folder}"
            raise CannotMerge(f"{other.folder}: request.{field}: {told}; the runs are not shards of one run")


def _cells(runs: Sequence[KeptRun]) -> dict[str, tuple[KeptRun, KeptCell]]:
    """Return each cell with its run; of several, the one that ran."""
    found: dict[str, tuple[KeptRun, KeptCell]] = {}
    for run in runs:
        for cell in run.cells:
            name = str(cell.name)
            before = found.get(name)
            if before and before[1].header and cell.header:
                raise CannotMerge(f"{run.folder}: {name} also ran in {before[0].folder}; leave one of the runs out")
            if not (before and before[1].header):
                found[name] = run, cell
    return found


def _environments(runs: Sequence[KeptRun]) -> list[str]:
    """Return the environments in the order of the whole plan."""
    whole = (name for run in runs for name in run.manifest.request.get("whole") or ())
    own = (cell.name.environment for run in runs for cell in run.cells)
    return list(dict.fromkeys((*whole, *own)))


def _plans(
    environments: Sequence[str],
    cells: Mapping[str, tuple[KeptRun, KeptCell]],
    runs: Sequence[KeptRun],
    lost: Mapping[str, Problem],
) -> Iterator[PlannedCell]:
    platforms = dict.fromkeys(one for run in runs for one in run.manifest.request.get("platforms") or ())
    for environment in environments:
        for platform in platforms:
            plan = PlannedCell(environment=environment, platform=platform, file="")
            if found := cells.get(str(plan.name)):
                yield found[1].plan
            else:
                problem = lost.get(environment) or Problem(LOST, REMEDY)
                yield msgspec.structs.replace(plan, file=plan.name.file, problem=problem)


def _copy(run: KeptRun, cell: KeptCell, folder: Path) -> None:
    """Copy the records of a cell and the judgements on them."""
    if cell.path.exists():
        shutil.copyfile(cell.path, folder / cell.plan.file)
    judgements = run.folder / manifest.JUDGEMENTS
    for line in lines(judgements):
        if msgspec.json.decode(line, type=manifest.JudgedTrial).cell == str(cell.name):
            writer.append(folder / manifest.JUDGEMENTS, line)


def _manifest(runs: Sequence[KeptRun], folder: Path, plans: Sequence[PlannedCell]) -> Manifest:
    every = [run.manifest for run in runs]
    ends = [one.finished for one in every]
    profiles = dict.fromkeys(name for one in every for name in one.request.get("profiles") or ())
    kernels = dict.fromkeys(name for one in every for name in one.request.get("kernels") or ())
    of_all = {"profiles": [*profiles], "kernels": [*kernels], "cells": [], "whole": []}
    return msgspec.structs.replace(
        every[0],
        run=folder.name,
        started=min(one.started for one in every),
        finished=None if None in ends else max(end for end in ends if end),
        interrupted=any(one.interrupted for one in every),
        request={**every[0].request, **of_all},
        cells=tuple(plans),
        stale=tuple(dict.fromkeys(stale for one in every for stale in one.stale)),
    )
