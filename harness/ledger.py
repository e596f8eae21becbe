"""What one cell reports: on disk as it comes, judged, and at the end completed by what it did not report."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from worldswitch.harness import results
from worldswitch.harness.catalogue import Scenario
from worldswitch.harness.cell_name import REFERENCE, CellName
from worldswitch.harness.collect import Problem
from worldswitch.harness.expectations import EXCUSABLE, Expectation, judge
from worldswitch.harness.keeper import Book
from worldswitch.harness.outcome import CellOutcome, Judged
from worldswitch.harness.results import CannotKeep, Damaged, Footer, Header, Record, Trial
from worldswitch.harness.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Absent:
    """What scenarios need and cannot have in a cell, whatever its profile says."""

    needs: frozenset[str]
    reason: str


class Watcher(Protocol):
    """Is told how a run goes on."""

    def say(self, line: str) -> None:
        """What is being done that takes a while."""

    def cell_starts(self, cell: CellName) -> None:
        """A cell starts."""

    def cell_plans(self, cell: CellName, scenarios: int) -> None:
        """It is about to run so many scenarios."""

    def trial_begins(self, cell: CellName, scenario: str) -> None:
        """One of its trials begins."""

    def trial_ends(self, cell: CellName, judged: Judged) -> None:
        """One of its trials has a verdict."""

    def cell_ends(self, outcome: CellOutcome) -> None:
        """It is done."""


class Ledger:
    """One cell's account."""

    def __init__(
        self,
        cell: CellName,
        expectations: Iterable[Expectation],
        scenarios: Mapping[str, Scenario],
        absent: Mapping[Verdict, Absent],
        book: Book,
        watcher: Watcher,
    ) -> None:
        self._cell = cell
        self._expectations = tuple(expectations)
        self._scenarios = scenarios
        self._absent = absent
        self._book = book
        self._watcher = watcher
        self._started = time.monotonic()
        self._judged: dict[str, Judged] = {}
        self._header: Header | None = None

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
                self._watcher.cell_plans(self._cell, len(record.planned))
            case Trial():
                judged = self._judge(record)
                self._book.enter(record, judged)
                self._judged[record.scenario] = judged
                self._watcher.trial_ends(self._cell, judged)
            case Footer():
                self._book.enter(record)

    def begin(self, scenario: str) -> None:
        """A trial begins."""
        self._watcher.trial_begins(self._cell, scenario)

    def close(self, problem: Problem | None) -> CellOutcome:
        """The outcome; what was planned and has no verdict is a `miss`."""
        reason = problem.reason if problem else "planned, and never reported"
        missing = [self._miss(name, reason) for name in self.planned if name not in self._judged]
        misses = [self._judge(trial) for trial in missing]
        with contextlib.suppress(CannotKeep):  # then there is a problem already, and a miss is bad news without a line
            for one in misses:
                self._book.judge(one)
        judged = (*self._judged.values(), *misses)
        seconds = time.monotonic() - self._started
        outcome = CellOutcome(self._cell, judged, seconds, problem)
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
        return results.tally(judged.trial for judged in self._judged.values())

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
        excuse = self._excuse(trial) if trial.verdict in EXCUSABLE else ""
        needs = known.needs if (known := self._known(trial.scenario)) else ()
        return Judged(trial, judge(trial.scenario, trial.ids, trial.verdict, self._expectations, excuse, needs))

    def _known(self, name: str) -> Scenario | None:
        """The scenario of a trial; one that was multiplied by parameters has them behind its name."""
        return self._scenarios.get(name.partition("[")[0])

    def _excuse(self, trial: Trial) -> str:
        """Why that is right whatever the profile: what they need is absent, or the platform need not have it."""
        known = self._known(trial.scenario)
        needs = known.needs if known else ()
        absent = self._absent.get(trial.verdict)
        if absent and absent.needs.intersection(needs):
            return absent.reason
        if trial.verdict is not Verdict.UNSUPPORTED:
            return ""
        found = self._header.fingerprint.probes if self._header else {}
        if self._cell.platform != REFERENCE and all(found[need].state == "yes" for need in needs if need in found):
            return "this platform does without an optional part"
        return ""
