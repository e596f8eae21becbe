"""Repeats the unexpected trials of a saved run: each in its own cell, with the seed and the settings of the run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import msgspec

from worldswitch.harness.catalogue.scenarios import function_of
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.results.reader import KeptRun
from worldswitch.harness.run.request import Request
from worldswitch.harness.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Repetition:
    """The unexpected trials of a run, and the request that repeats them."""

    trials: int
    missed: int  #: trials that never ran, which are not repeated
    request: Request | None  #: None if there is nothing to repeat


def repetition(run: KeptRun) -> Repetition:
    """Return the request that repeats the unexpected trials of a run.  Raises `CouldNotRun`."""
    unexpected = [(cell.name, one.trial) for cell in run.cells for one in cell.outcome.unexpected]
    failed = [(cell, trial) for cell, trial in unexpected if trial.verdict is not Verdict.MISS]
    only: dict[str, tuple[str, ...]] = {}
    for cell, trial in failed:
        only[str(cell)] = tuple(dict.fromkeys((*only.get(str(cell), ()), trial.scenario)))
    again = _request(run, list(dict.fromkeys(cell for cell, _ in failed)), only) if failed else None
    return Repetition(len(failed), len(unexpected) - len(failed), again)


def _request(run: KeptRun, cells: list[CellName], only: dict[str, tuple[str, ...]]) -> Request:
    try:
        earlier = msgspec.convert(run.manifest.request, Request)
    except msgspec.ValidationError as problem:
        raise CouldNotRun(f"{run.folder}: the request of the run is invalid: {problem}") from problem
    return replace(
        earlier,
        ids=tuple(dict.fromkeys(function_of(name) for names in only.values() for name in names)),
        keyword="",
        chaos=True,  # an unexpected trial may be one of chaos
        platforms=tuple(dict.fromkeys(cell.platform for cell in cells)),
        maxfail=0,
        only=only,
        cells=(),
        whole=(),
        **_places(earlier, cells),
    )


def _places(earlier: Request, cells: list[CellName]) -> dict[str, Any]:
    """Return the fields that leave out environments without an unexpected trial, where the request can say so."""
    if earlier.kernels or earlier.profiles:
        return {}  # they may be files, which only the request has by their paths
    if all(not cell.profiles for cell in cells):
        return {"engine": "host"}
    if all(cell.profiles for cell in cells):
        return {"profiles": tuple(dict.fromkeys(profile for cell in cells for profile in cell.profiles))}
    return {}
