"""Accounts for one cell: writes and judges its records, and adds a `miss` for each planned trial without a verdict."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from worldswitch.harness.catalogue.scenarios import Scenario, function_of
from worldswitch.harness.cell.records import Complaint, Footer, Header, KernelLog, Record, Trial
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.expectations import fields
from worldswitch.harness.expectations.excuses import HostAbilities, excuse
from worldswitch.harness.expectations.judgement import Expectation, judge
from worldswitch.harness.expectations.outcome import CellOutcome, Judged, Problem
from worldswitch.harness.results import manifest
from worldswitch.harness.results.cell_file import check_name
from worldswitch.harness.results.errors import CannotWrite
from worldswitch.harness.results.writer import CellWriter


@dataclass(frozen=True, slots=True)
class CellBasis:
    """What a cell is judged by, besides its records."""

    rules: tuple[Expectation, ...] = ()  #: the first that holds in the cell and covers a trial decides
    profile: Mapping[str, Any] = field(default_factory=dict)  #: the fields of its profile
    machine: HostAbilities = field(default_factory=HostAbilities)  #: the machine that drives the run


class RunWatcher(Protocol):
    """Is notified of the progress of a run, from any thread."""

    def say(self, line: str) -> None:
        """A long operation starts."""

    def run_plans(self, cells: Mapping[CellName, int]) -> None:
        """The run has these cells, each with this number of scenarios."""

    def cell_starts(self, cell: CellName) -> None:
        """A cell starts."""

    def cell_plans(self, cell: CellName, trials: int) -> None:
        """The cell sent its header, with this number of trials."""

    def trial_begins(self, cell: CellName, scenario: str) -> None:
        """One of its trials begins."""

    def trial_ends(self, cell: CellName, judged: Judged) -> None:
        """One of its trials has a verdict."""

    def cell_ends(self, outcome: CellOutcome) -> None:
        """A cell has ended."""


def with_complaints(complaints: Sequence[Complaint], problem: Problem | None) -> Problem:
    """Return the problem of a cell whose kernel complained, combined with its other problem, if any."""
    meanings = "; ".join(dict.fromkeys(one.meaning for one in complaints))
    reason = f"the cell's kernel is not sound: {meanings}"
    lines = "\n".join(dict.fromkeys(one.line for one in complaints))
    if not problem:
        return Problem(reason, "see the complete kernel log in the cell's results", lines, unexpected=True)
    return Problem(f"{problem.reason}; {reason}", problem.remedy, problem.log or lines, unexpected=True)


class CellAccount:
    """Writes and judges the records of one cell, and returns its outcome."""

    def __init__(
        self,
        cell: CellName,
        basis: CellBasis,
        scenarios: Mapping[str, Scenario],
        writer: CellWriter,
        watcher: RunWatcher,
    ) -> None:
        self._cell = cell
        self._basis = basis
        self._scenarios = scenarios
        self._writer = writer
        self._watcher = watcher
        self._started = time.monotonic()
        self._judged: dict[str, Judged] = {}
        self._header: Header | None = None
        self._rules = basis.rules  #: after the header only those that hold
        self._complaints: tuple[Complaint, ...] = ()

    @property
    def planned(self) -> tuple[str, ...]:
        """The planned trials: those of the header, and before it those of the request."""
        return self._header.planned if self._header else manifest.trials(self._scenarios.values())

    @property
    def unexpected(self) -> int:
        """The number of reported trials with an unexpected verdict."""
        return sum(not one.judgement.expected for one in list(self._judged.values()))

    def take(self, record: Record) -> None:
        """Judge and write a record that `CellStream` has validated.  Raises `CannotWrite` and `Damaged`."""
        match record:
            case Header():
                check_name(record, self._cell)
                self._writer.write(record)
                self._header = record
                known = fields.of(self._cell, record, self._basis.profile)
                self._rules = tuple(rule for rule in self._basis.rules if rule.holds(known))
                self._watcher.cell_plans(self._cell, len(record.planned))
            case Trial():
                self._take_trial(record)
            case KernelLog(complaints=complaints):
                self._complaints = complaints
                if self._header:  # a file begins with its header; without one, the problem has the complaints
                    self._writer.write(record)
            case Footer():
                self._writer.write(record)

    def _take_trial(self, trial: Trial) -> None:
        judged = self._judge(trial)
        self._judged[trial.scenario] = judged  # first: an interrupt must not make a written trial a miss
        try:
            self._writer.write(trial, judged)
        except CannotWrite:
            del self._judged[trial.scenario]
            raise
        self._watcher.trial_ends(self._cell, judged)

    def begin(self, scenario: str) -> None:
        """A trial begins."""
        self._watcher.trial_begins(self._cell, scenario)

    def close(self, problem: Problem | None) -> CellOutcome:
        """Return the outcome; a planned trial without a verdict is a `miss`."""
        problem = with_complaints(self._complaints, problem) if self._complaints else problem
        reason = problem.reason if problem else "planned, but not reported"
        misses = [self._judge(one) for one in manifest.misses(self.planned, self._judged, self._scenarios, reason)]
        with contextlib.suppress(CannotWrite):  # the problem is known already, and a miss needs no line
            for one in misses:
                self._writer.write_judgement(one)
        judged = (*self._judged.values(), *misses)
        seconds = time.monotonic() - self._started
        rules = self._rules if self._header else ()
        outcome = CellOutcome(self._cell, judged, seconds, problem, rules)
        self._watcher.cell_ends(outcome)
        return outcome

    def _judge(self, trial: Trial) -> Judged:
        known = self._scenarios.get(function_of(trial.scenario))
        needs = known.needs if known else ()
        why = excuse(trial.verdict, needs, self._cell, self._header, self._basis.machine) if self._header else ""
        return Judged(trial, judge(trial.scenario, trial.ids, trial.verdict, self._rules, why, needs))
