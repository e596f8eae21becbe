"""What one cell reports: on disk as it comes, judged, and at the end completed by what it did not report."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from worldswitch.harness.catalogue.scenarios import Scenario
from worldswitch.harness.cell import records
from worldswitch.harness.cell.records import Complaint, Footer, Header, KernelLog, Record, Trial
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.expectations import fields
from worldswitch.harness.expectations.excuses import HostAbilities, excuse
from worldswitch.harness.expectations.judgement import Expectation, judge
from worldswitch.harness.expectations.outcome import CellOutcome, Judged, Problem
from worldswitch.harness.results.errors import CannotWrite, Damaged
from worldswitch.harness.results.writer import CellWriter
from worldswitch.harness.verdict import Verdict


@dataclass(frozen=True, slots=True)
class CellBasis:
    """What a cell is judged by, beside its own words."""

    rules: tuple[Expectation, ...] = ()  #: all that may hold there; the first that does and covers a trial decides
    profile: Mapping[str, Any] = field(default_factory=dict)  #: its fields
    machine: HostAbilities = field(default_factory=HostAbilities)  #: that drives the run


class RunWatcher(Protocol):
    """Is told how a run goes on."""

    def say(self, line: str) -> None:
        """What is being done that takes a while."""

    def cell_starts(self, cell: CellName) -> None:
        """A cell starts."""

    def cell_plans(self, cell: CellName, trials: int) -> None:
        """It is about to run so many trials."""

    def trial_begins(self, cell: CellName, scenario: str) -> None:
        """One of its trials begins."""

    def trial_ends(self, cell: CellName, judged: Judged) -> None:
        """One of its trials has a verdict."""

    def cell_ends(self, outcome: CellOutcome) -> None:
        """It is done."""


def with_complaints(complaints: Sequence[Complaint], problem: Problem | None) -> Problem:
    """What is wrong with a cell whose kernel complained, whatever else is: no verdict of its trials can excuse that."""
    told = "; ".join(dict.fromkeys(one.meaning for one in complaints))
    said = f"the cell's kernel is not sound: {told}"
    lines = "\n".join(dict.fromkeys(one.line for one in complaints))
    if not problem:
        return Problem(said, "the whole kernel log is in the cell's results", lines, unexpected=True)
    return Problem(f"{problem.reason}; {said}", problem.remedy, problem.log or lines, unexpected=True)


class CellAccount:
    """One cell's account."""

    def __init__(
        self,
        cell: CellName,
        standing: CellBasis,
        scenarios: Mapping[str, Scenario],
        book: CellWriter,
        watcher: RunWatcher,
    ) -> None:
        self._cell = cell
        self._standing = standing
        self._scenarios = scenarios
        self._book = book
        self._watcher = watcher
        self._started = time.monotonic()
        self._judged: dict[str, Judged] = {}
        self._header: Header | None = None
        self._rules = standing.rules  #: those that hold, as soon as that is known
        self._complaints: tuple[Complaint, ...] = ()

    @property
    def planned(self) -> tuple[str, ...]:
        """The scenarios to account for: what the cell says it planned, and until then what was asked for."""
        return self._header.planned if self._header else tuple(self._scenarios)

    def take(self, record: Record) -> None:
        """Note one record; `Damaged` if it cannot be."""
        self._check(record)
        match record:
            case Header():
                self._book.enter(record)
                self._header = record
                known = fields.of(self._cell, record, self._standing.profile)
                self._rules = tuple(rule for rule in self._standing.rules if rule.holds(known))
                self._watcher.cell_plans(self._cell, len(record.planned))
            case Trial():
                judged = self._judge(record)
                self._judged[record.scenario] = judged  # first: what an interrupt finds in the book is not missed
                try:
                    self._book.enter(record, judged)
                except CannotWrite:
                    del self._judged[record.scenario]
                    raise
                self._watcher.trial_ends(self._cell, judged)
            case KernelLog(complaints=complaints):
                self._complaints = complaints
                if self._header:  # a file begins with its header, and of a cell without one the problem tells
                    self._book.enter(record)
            case Footer():
                self._book.enter(record)

    def begin(self, scenario: str) -> None:
        """A trial begins."""
        self._watcher.trial_begins(self._cell, scenario)

    def close(self, problem: Problem | None) -> CellOutcome:
        """The outcome; what was planned and has no verdict is a `miss`."""
        problem = with_complaints(self._complaints, problem) if self._complaints else problem
        reason = problem.reason if problem else "planned, and never reported"
        missing = [self._miss(name, reason) for name in self.planned if name not in self._judged]
        misses = [self._judge(trial) for trial in missing]
        with contextlib.suppress(CannotWrite):  # then there is a problem already, and a miss is bad news without a line
            for one in misses:
                self._book.judge(one)
        judged = (*self._judged.values(), *misses)
        seconds = time.monotonic() - self._started
        rules = self._rules if self._header else ()
        outcome = CellOutcome(self._cell, judged, seconds, problem, rules)
        self._watcher.cell_ends(outcome)
        return outcome

    def _check(self, record: Record) -> None:
        match record:
            case Header() if self._header:
                raise Damaged("a second header")
            case Trial(scenario=name) if not self._header or name not in self.planned:
                raise Damaged(f"a verdict on {name!r}, which no header planned")
            case Trial(scenario=name) if name in self._judged:
                raise Damaged(f"a second verdict on {name!r}")
            case Footer(counts=counts) if counts != self._counted:
                raise Damaged(f"the footer counts {counts}, and {self._counted} came")

    @property
    def _counted(self) -> dict[str, int]:
        return records.tally(judged.trial for judged in self._judged.values())

    def _miss(self, name: str, reason: str) -> Trial:
        known = self._known(name)
        if known is None:
            return Trial(scenario=name, verdict=Verdict.MISS, reason=reason)
        return Trial(
            scenario=name,
            verdict=Verdict.MISS,
            ids=known.ids,
            claim=known.claim,
            clauses=known.clauses,
            reason=reason,
        )

    def _judge(self, trial: Trial) -> Judged:
        known = self._known(trial.scenario)
        needs = known.needs if known else ()
        why = excuse(trial.verdict, needs, self._cell, self._header, self._standing.machine) if self._header else ""
        return Judged(trial, judge(trial.scenario, trial.ids, trial.verdict, self._rules, why, needs))

    def _known(self, name: str) -> Scenario | None:
        """The scenario of a trial; one that was multiplied by parameters has them behind its name."""
        return self._scenarios.get(name.partition("[")[0])
