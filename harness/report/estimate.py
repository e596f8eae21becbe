"""Estimates the remaining time of a run, from the durations of earlier runs and the pace of this one.

An earlier duration is scaled by how this run compares with the earlier ones so far.  A cell without one takes as long
for each trial as the cells of its kind in this run: trials in a virtual machine may take many times longer than here.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import msgspec

from worldswitch.harness import decoding
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.linux import regular_file
from worldswitch.harness.results import manifest
from worldswitch.harness.run.request import Request

RUNS = 20  #: the maximum number of earlier runs that are read

#: The fields of a request that decide how long a cell takes.
_ALIKE = ("ids", "keyword", "chaos", "repeat", "mutant", "workers")
#: The fields that decide what must be prepared before the first cell.
_SAME_PLACES = ("engine", "profiles", "kernels")


def earlier_seconds(results: Path, request: Request) -> dict[CellName, float]:
    """Return the duration of each cell in the newest run that had the same scenarios and repetitions."""
    found: dict[CellName, float] = {}
    files = sorted(results.glob(f"[0-9]*T[0-9]*/{manifest.FILE}"), reverse=True)[:RUNS]
    for file in files:
        if run := _alike(file, request, _ALIKE):
            for name, seconds in _seconds(run).items():
                found.setdefault(name, seconds)
    return found


def earlier_preparation(results: Path, request: Request) -> float | None:
    """Return the seconds from the start to the first cell of the newest run in the same environments."""
    for file in sorted(results.glob(f"[0-9]*T[0-9]*/{manifest.FILE}"), reverse=True)[:RUNS]:
        if run := _alike(file, request, _SAME_PLACES):
            began = [cell.started for cell in run.cells if cell.started]
            if began:
                return max(0.0, min(began) - run.started)
    return None


def _alike(file: Path, request: Request, fields: Sequence[str]) -> manifest.Manifest | None:
    """Return an earlier run if these fields of its request are those of `request`."""
    try:
        run = decoding.from_json(regular_file.read(file, manifest.MOST_BYTES), manifest.Manifest)
    except (OSError, msgspec.MsgspecError):
        return None  # an estimate does not depend on a damaged run
    asked = msgspec.json.decode(msgspec.json.encode(asdict(request)))
    return run if all(run.request.get(name) == asked[name] for name in fields) else None


def _seconds(run: manifest.Manifest) -> dict[CellName, float]:
    whole = (cell for cell in run.cells if cell.started and cell.finished and not cell.problem)
    return {cell.name: (cell.finished or 0.0) - (cell.started or 0.0) for cell in whole}


@dataclass
class _Cell:
    trials: int
    done: int = 0
    begun: float | None = None
    seconds: float | None = None  #: the duration, after its end

    @property
    def elapsed(self) -> float:
        if self.seconds is not None:
            return self.seconds
        return 0.0 if self.begun is None else time.monotonic() - self.begun


@dataclass
class Estimate:
    """The progress of the planned cells, and the time that they will still take."""

    earlier: Mapping[CellName, float] = field(default_factory=dict)  #: the duration of cells in earlier runs
    lanes: int = 1  #: machines at a time
    cells: dict[CellName, _Cell] = field(default_factory=dict)

    def plan(self, cell: CellName, trials: int) -> None:
        """A cell has this number of trials, as far as is known."""
        self.cells.setdefault(cell, _Cell(trials)).trials = trials

    def begin(self, cell: CellName) -> None:
        """A cell begins."""
        self.cells.setdefault(cell, _Cell(0)).begun = time.monotonic()

    def trial(self, cell: CellName) -> None:
        """A trial has ended."""
        self.cells[cell].done += 1

    def end(self, cell: CellName, trials: int) -> None:
        """A cell has ended."""
        one = self.cells.setdefault(cell, _Cell(trials))
        one.trials = one.done = trials
        one.seconds = one.elapsed

    @property
    def done(self) -> int:
        """The number of trials that are over."""
        return sum(one.done for one in list(self.cells.values()))

    @property
    def is_over(self) -> bool:
        """True if every planned cell has ended."""
        return all(one.seconds is not None for one in list(self.cells.values()))

    @property
    def trials(self) -> int:
        """The number of planned trials."""
        return sum(one.trials for one in list(self.cells.values()))

    def remaining(self) -> float | None:
        """Return the remaining seconds; None if nothing is known."""
        left = {name: self._left(name, one) for name, one in list(self.cells.items()) if one.seconds is None}
        if not left or None in left.values():
            return None
        here = sum(seconds or 0.0 for name, seconds in left.items() if not name.kernel)
        booted = {name: seconds or 0.0 for name, seconds in left.items() if name.kernel}
        width = max(1, min(self.lanes, len(booted)))
        return here + max(sum(booted.values()) / width, max(booted.values(), default=0.0))

    def _left(self, name: CellName, one: _Cell) -> float | None:
        whole = self.earlier.get(name)
        rate = self._rate(name)
        if whole is None and rate is not None:
            whole = one.trials * rate
        if whole is None:
            return None
        whole *= self._pace(booted=bool(name.kernel)) if name in self.earlier else 1.0
        if one.done and one.trials:
            return whole * (1 - one.done / one.trials)
        return max(whole - one.elapsed, 0.0)

    def _pace(self, *, booted: bool) -> float:
        """How many times longer than in earlier runs the cells of a kind take in this one."""
        known = [(one, self.earlier[name]) for name, one in self._measured(booted=booted) if name in self.earlier]
        expected = sum(seconds * one.done / one.trials for one, seconds in known if one.trials)
        return sum(one.elapsed for one, _ in known) / expected if expected else 1.0

    def _measured(self, *, booted: bool) -> list[tuple[CellName, _Cell]]:
        """Return the cells on booted kernels, or those on this one, of which a trial has ended."""
        cells = list(self.cells.items())
        return [(name, one) for name, one in cells if one.done and one.begun and bool(name.kernel) is booted]

    def _rate(self, name: CellName) -> float | None:
        """The seconds that a trial takes: in this cell, else in all of its kind, else in all."""
        own, booted = self.cells[name], bool(name.kernel)
        alike = self._measured(booted=booted) or self._measured(booted=not booted)
        cells = [own] if own.done and own.begun else [one for _, one in alike]
        done = sum(one.done for one in cells)
        return sum(one.elapsed for one in cells) / done if done else None


def spoken(seconds: float) -> str:
    """Return a remaining time in words, no more exact than it is known."""
    if seconds < 55:
        return f"about {max(5, 5 * round(seconds / 5))} s left"
    if seconds < 57 * 60:
        return f"about {max(1, round(seconds / 60))} min left"
    return f"about {seconds / 3600:.1f} h left"
