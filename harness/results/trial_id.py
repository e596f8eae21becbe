"""How people name one trial of a run: ``host::signals::a_sentence@results/20260102T030405-0a1b``.

Before the ``@`` the environment, with the platform after a slash unless that is the reference, and the scenario; after
it the run's folder, or its name below ``results``; without it the last run there.  In place of the scenario's name its
catalogue id does, if only one scenario of the cell has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from worldswitch.harness.cell_name import CellName
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.expectations.outcome import Judged
from worldswitch.harness.results import reader
from worldswitch.harness.results.errors import ResultError
from worldswitch.harness.results.reader import KeptCell, KeptRun

FORM = "ENVIRONMENT::module::function@RUN, as in host::signals::a_sentence@results/20260102T030405-0a1b"


@dataclass(frozen=True, slots=True)
class TrialId:
    """The name, in its parts."""

    cell: str  #: as `CellName` writes it
    scenario: str  #: ``module::function``, with its parameters if it has some; or a catalogue id
    run: str = "last"

    def __str__(self) -> str:
        return f"{self.cell}::{self.scenario}@{self.run}"


def parse(text: str) -> TrialId:
    """The parts of a name; raises `CouldNotRun` for what is none."""
    cell, colons, rest = text.partition("::")
    scenario, _, run = rest.partition("@")
    if not (cell and colons and scenario):
        raise CouldNotRun(f"{text!r} names no trial; say {FORM}")
    return TrialId(cell, scenario, run or "last")


def of(cell: CellName, scenario: str, folder: Path) -> TrialId:
    """The name of a trial whose run left `folder`."""
    return TrialId(str(cell), scenario, str(folder))


@dataclass(frozen=True, slots=True)
class KeptTrial:
    """One trial as its run left it."""

    run: KeptRun
    cell: KeptCell
    judged: Judged

    @property
    def id(self) -> TrialId:
        """Its full name."""
        return of(self.cell.name, self.judged.trial.scenario, self.run.folder)


def find(text: str, place: Path = reader.PLACE) -> KeptTrial:
    """The trial called so, of a run below `place` or anywhere; raises `CouldNotRun` with the names there are."""
    wanted = parse(text)
    try:
        run = reader.read(reader.find(wanted.run, place))
        cell = run.cell(wanted.cell)
    except ResultError as problem:
        raise CouldNotRun(str(problem)) from problem
    except KeyError as problem:
        raise CouldNotRun(str(problem.args[0])) from problem
    found = [one for one in cell.judged if one.trial.scenario == wanted.scenario]
    found = found or [one for one in cell.judged if wanted.scenario in one.trial.ids]
    if len(found) != 1:
        raise CouldNotRun(_unknown(wanted, cell, found))
    return KeptTrial(run, cell, found[0])


def _unknown(wanted: TrialId, cell: KeptCell, found: list[Judged]) -> str:
    names = [one.trial.scenario for one in found or cell.judged if found or not one.judgement.expected]
    if found:
        return f"{len(found)} scenarios are called {wanted.scenario}: {', '.join(names)}; name one of them"
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    failed = f"; what failed there: {shown}" if names else "; nothing failed there"
    return f"{cell.path}: no scenario {wanted.scenario} in {wanted.cell}{failed}"
