"""The id of one trial of a run: ``host::signals::a_sentence@results/20260102T030405-0a1b``.

Before the ``@`` are the environment, with the platform after a slash unless it is the reference, and the scenario.
After it is the run's folder, or its name below ``results``; without it, the last run there.  A catalogue id may replace
the scenario's name if only one scenario of the cell has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from worldswitch.harness.cell_name import CellName
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.expectations.outcome import Judged
from worldswitch.harness.results import reader
from worldswitch.harness.results.reader import KeptCell, KeptRun

FORM = "ENVIRONMENT::module::function@RUN, as in host::signals::a_sentence@results/20260102T030405-0a1b"


@dataclass(frozen=True, slots=True)
class TrialId:
    """The parts of an id."""

    cell: str  #: `str()` of its `CellName`
    scenario: str  #: ``module::function``, with parameters if any; or a catalogue id
    run: str = "last"

    def __str__(self) -> str:
        return f"{self.cell}::{self.scenario}@{self.run}"


def parse(text: str) -> TrialId:
    """Split an id into its parts.  Raises `CouldNotRun`."""
    cell, colons, rest = text.partition("::")
    scenario, _, run = rest.partition("@")
    if not (cell and colons and scenario):
        raise CouldNotRun(f"{text!r} is not the id of a trial; the form is {FORM}")
    return TrialId(cell, scenario, run or "last")


def of(cell: CellName, scenario: str, folder: Path) -> TrialId:
    """Return the id of a trial of the run in `folder`."""
    return TrialId(str(cell), scenario, str(folder))


@dataclass(frozen=True, slots=True)
class KeptTrial:
    """One trial as read from the folder of its run."""

    run: KeptRun
    cell: KeptCell
    judged: Judged

    @property
    def id(self) -> TrialId:
        """Its full id."""
        return of(self.cell.name, self.judged.trial.scenario, self.run.folder)


def find(text: str, place: Path = reader.PLACE) -> KeptTrial:
    """Find a trial by its id; `place` is the folder of runs.  Raises `CouldNotRun`, which lists similar ids."""
    wanted = parse(text)
    try:
        run = reader.read(reader.find(wanted.run, place))
        cell = run.cell(wanted.cell)
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
        return f"{len(found)} scenarios have the id {wanted.scenario}: {', '.join(names)}; name one of them"
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    failed = f"; unexpected there: {shown}" if names else "; no verdict there was unexpected"
    return f"{cell.path}: no scenario {wanted.scenario} in {wanted.cell}{failed}"
