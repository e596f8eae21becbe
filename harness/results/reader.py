"""Reads a run's folder: the plan, the records of each cell, and the judgement that the run made on each trial.

    run = reader.read(reader.find("last"))      # a path, a name below results/, or the newest there
    run.manifest                                # `results.manifest.Manifest`: request, seed, versions
    for cell in run.cells:                      # in the order of the plan
        cell.name, cell.header, cell.footer     # CellName; None if the cell did not send it
        cell.planned                            # names of its planned trials
        for judged in cell.judged:              # one for each planned trial; those without a verdict are `miss`
            judged.trial, judged.judgement      # `cell.records.Trial`; expected or not, wanted verdicts, reason, rule
        cell.problem                            # why it did not run or end properly, or None
        cell.outcome                            # as in a live run: `outcome.CellOutcome`
    run.cell("docker:hardened")                 # KeyError if there is none

Judgements are those of the run, not of the current rules.  An incomplete run is read up to where it ended.  A folder
that no run can have written is `Damaged`; the message names the file and the line.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TypeAlias

import msgspec

from worldswitch.harness import decoding
from worldswitch.harness.cell.records import Footer, Header, Trial
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.expectations.judgement import PASSES, Judgement
from worldswitch.harness.expectations.outcome import CellOutcome, Judged, Problem
from worldswitch.harness.linux import regular_file
from worldswitch.harness.nearest import hint
from worldswitch.harness.results import manifest
from worldswitch.harness.results.cell_file import Reached, check_name, lines, read_reached, twice
from worldswitch.harness.results.errors import Damaged, ResultError
from worldswitch.harness.results.manifest import JudgedTrial, Manifest, PlannedCell, PlannedScenario
from worldswitch.harness.verdict import Verdict

#: The default of `worldswitch run --results`.
PLACE = Path("results")
BASELINE = "baseline"  #: the name of the run that others are compared with

#: A verdict and the judgement on it, by cell and scenario.
Judgements: TypeAlias = dict[str, dict[str, tuple[Verdict, Judgement]]]

CUT_OFF = "the run was cut off"


class NoRun(ResultError):
    """There is no run of this name, or none in this folder; the message says where it was looked for."""


@dataclass(frozen=True)
class KeptCell:
    """One cell as read from the folder of its run."""

    plan: PlannedCell
    path: Path  #: its file; absent if the cell sent no record
    reached: Reached
    planned: tuple[str, ...]
    judged: tuple[Judged, ...]  #: the reported trials in their order, then the misses
    problem: Problem | None

    @property
    def name(self) -> CellName:
        """The name of the cell."""
        return self.plan.name

    @property
    def header(self) -> Header | None:
        """The header; None if the cell sent none."""
        return self.reached.header

    @property
    def footer(self) -> Footer | None:
        """The footer; None if the cell did not finish."""
        return self.reached.footer

    @property
    def seconds(self) -> float:
        """The duration in seconds; 0 if unknown."""
        return (self.plan.finished or 0) - (self.plan.started or 0) if self.plan.finished and self.plan.started else 0.0

    @property
    def outcome(self) -> CellOutcome:
        """The outcome, as in a live run."""
        return CellOutcome(self.name, self.judged, self.seconds, self.problem)


@dataclass(frozen=True)
class KeptRun:
    """A run as read from its folder."""

    folder: Path
    manifest: Manifest
    cells: tuple[KeptCell, ...]

    @property
    def is_whole(self) -> bool:
        """True if the run was not filtered by id, keyword or mutant (chaos may be excluded)."""
        return not any(self.manifest.request.get(one) for one in ("ids", "keyword", "mutant"))

    @property
    def has_chaos(self) -> bool:
        """True if chaos scenarios were included."""
        return self.manifest.request.get("chaos") is True

    def cell(self, name: str) -> KeptCell:
        """Return the cell called `name`.  Raises KeyError, which lists the cells."""
        found = next((cell for cell in self.cells if str(cell.name) == name), None)
        if found is None:
            raise KeyError(
                f"no cell {name} in {self.folder}; there are {', '.join(str(one.name) for one in self.cells)}"
            )
        return found

    @property
    def ran(self) -> bool:
        """True if at least one trial has a verdict."""
        return any(outcome.ran for outcome in self.outcomes)

    @cached_property
    def outcomes(self) -> tuple[CellOutcome, ...]:
        """The outcomes of all cells."""
        return tuple(cell.outcome for cell in self.cells)


def find(name: str, place: Path = PLACE) -> Path:
    """Find the folder of a run.  Raises `NoRun`.

    `name` is a path, a name below `place`, `last` for the newest there in which anything ran, or `baseline` for the
    package's own, unless there is one in `place`.
    """
    if name == "last":
        return _last(place)
    for folder in (Path(name), place / name):
        try:
            if folder.is_dir():
                return folder
        except OSError as problem:  # a name that is too long, a folder that may not be entered
            raise NoRun(f"{name}: cannot be read: {problem.strerror}") from problem
    own = Path(str(resources.files("worldswitch.results"))) / BASELINE
    if name == BASELINE and own.is_dir():
        return own
    if Path(name).is_file():
        raise NoRun(f"{name}: a file; a run is the folder that contains {manifest.FILE}")
    known = [path.parent.name for path in place.glob(f"*/{manifest.FILE}")]
    raise NoRun(f"{name}: no such folder, and no run of that name in {place}{hint(name, known)}")


def _last(place: Path) -> Path:
    # Their names begin with the time; that of a baseline or of a repeated trial does not.
    folders = [path.parent for path in place.glob(f"[0-9]*T[0-9]*/{manifest.FILE}")]
    if not folders:
        raise NoRun(f"{place}: no runs there; see `worldswitch run --results`")
    for folder in sorted(folders, key=_started_in, reverse=True):
        if _anything_ran(folder):
            return folder
    raise NoRun(f"{place}: nothing ran in any of the {len(folders)} runs there; name one to see why")


class _Started(msgspec.Struct):
    started: float = 0.0


def _started_in(folder: Path) -> tuple[str, float]:
    """Return the second of a folder's name, and when its run started; 0 if its manifest cannot be read."""
    try:
        started = decoding.from_json(_content(folder / manifest.FILE), _Started).started
    except (OSError, msgspec.MsgspecError):
        started = 0.0
    return folder.name.partition("-")[0], started


class _Line(msgspec.Struct):
    verdict: Verdict | None = None


def _anything_ran(folder: Path) -> bool:
    """True if a trial in the folder has a verdict, or if a file there is damaged, which `read` reports."""
    try:
        files = [folder / cell.file for cell in _manifest(folder / manifest.FILE).cells]
        verdicts = (decoding.from_json(line, _Line).verdict for file in files for line in lines(file))
        return any(verdict is not None and verdict.is_verdict for verdict in verdicts)
    except (ResultError, msgspec.DecodeError):
        return True


def read(folder: Path) -> KeptRun:
    """Read the run in `folder`.  Raises `NoRun` and `Damaged`."""
    found = _manifest(folder / manifest.FILE)
    judgements = _judgements(folder / manifest.JUDGEMENTS, found)
    known = {scenario.name: scenario for scenario in found.scenarios}
    cells = tuple(_cell(folder, plan, known, judgements) for plan in found.cells)
    return KeptRun(folder, found, cells)


def _content(path: Path) -> bytes:
    return regular_file.read(path, manifest.MOST_BYTES)


def _manifest(path: Path) -> Manifest:
    try:
        found = decoding.from_json(_content(path), Manifest)
    except FileNotFoundError:
        raise NoRun(f"{path}: not there; the folder is not that of a run, or the run did not start") from None
    except OSError as problem:
        raise NoRun(f"{path}: cannot be read: {problem.strerror}") from problem
    except msgspec.DecodeError as problem:
        raise Damaged(f"{path}: not a run's manifest: {problem}") from problem
    if found.format != manifest.FORMAT:
        raise Damaged(f"{path}: format {found.format}; this version reads format {manifest.FORMAT}")
    if (name := twice(str(cell.name) for cell in found.cells)) is not None:
        raise Damaged(f"{path}: cells: {name} is there twice")
    if (name := twice(scenario.name for scenario in found.scenarios)) is not None:
        raise Damaged(f"{path}: scenarios: {name} is there twice")
    times = [("", found.started, found.finished)]
    times += ((f"cells: {cell.name}: ", cell.started or 0, cell.finished) for cell in found.cells)
    for field, started, finished in times:
        if finished is not None and finished < started:
            raise Damaged(f"{path}: {field}finished: {finished:.3f} is before `started`, {started:.3f}")
    for cell in found.cells:
        if cell.file != cell.name.file:
            raise Damaged(f"{path}: cells: the file of {cell.name} is {cell.name.file}, not {cell.file!r}")
    return found


def _judgements(path: Path, run: Manifest) -> Judgements:
    """Read the judgements; the last one on a trial counts."""
    cells = {str(cell.name) for cell in run.cells}
    found: Judgements = defaultdict(dict)
    for number, line in enumerate(lines(path), 1):
        try:
            one = decoding.from_json(line, JudgedTrial)
            judgement = decoding.from_json(line, Judgement)
        except msgspec.DecodeError as problem:
            raise Damaged(f"{path}:{number}: not a judgement: {problem}") from problem
        if one.cell not in cells:
            raise Damaged(f"{path}:{number}: a judgement in {one.cell!r}, which is not in the plan of {manifest.FILE}")
        found[one.cell][one.scenario] = one.verdict, judgement
    return found


def _cell(folder: Path, plan: PlannedCell, known: Mapping[str, PlannedScenario], judgements: Judgements) -> KeptCell:
    path = folder / plan.file
    reached = read_reached(path)
    if reached.header:
        check_name(reached.header, plan.name, f"{path}:1: ")
    problem = _problem(plan, path, reached)
    planned = reached.header.planned if reached.header else manifest.trials(known.values())
    reason = problem.reason if problem else "planned, but not reported"
    reported = {trial.scenario for trial in reached.trials}
    trials = (*reached.trials, *manifest.misses(planned, reported, known, reason))
    own = judgements[str(plan.name)]
    if strangers := own.keys() - {trial.scenario for trial in trials}:
        file = path.with_name(manifest.JUDGEMENTS)
        raise Damaged(f"{file}: a judgement on {min(strangers)!r}, which was not planned in {plan.name}")
    judged = tuple(Judged(trial, _judgement(trial, path, *own.get(trial.scenario, (None, None)))) for trial in trials)
    return KeptCell(plan, path, reached, planned, judged, problem)


def _problem(plan: PlannedCell, path: Path, reached: Reached) -> Problem | None:
    if plan.problem:
        return plan.problem
    if plan.finished is None and not reached.footer:
        middle = " in the middle of a record" if reached.is_cut else ""
        return Problem(f"{CUT_OFF}{middle}" if plan.started else f"{CUT_OFF} before this cell started")
    if not reached.footer:
        raise Damaged(f"{path}: the footer is missing, but {manifest.FILE} has no problem of the cell")
    return None


def _judgement(trial: Trial, path: Path, verdict: Verdict | None, judgement: Judgement | None) -> Judgement:
    if judgement and verdict is trial.verdict:
        return judgement
    if judgement and trial.verdict is not Verdict.MISS:  # the judgement is written before the verdict
        raise Damaged(f"{path}: {trial.scenario}: {trial.verdict}, but {manifest.JUDGEMENTS} judges {verdict}")
    return Judgement(trial.verdict is Verdict.PASS, PASSES)
