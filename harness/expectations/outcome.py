"""The outcome of a run: each cell's trials with their judgements, and the exit status.

A **cell** is one platform in one environment with all the scenarios planned there.  A cell *ran* if at least one of its
trials reached a verdict about the platform.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import msgspec

from worldswitch.harness.cell.records import Trial
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.expectations.judgement import PASSES, Expectation, Judgement
from worldswitch.harness.verdict import Verdict


class Status(enum.IntEnum):
    """The exit status of a command."""

    AS_EXPECTED = 0  #: every cell ran, and every verdict was expected
    UNEXPECTED = 1  #: a verdict was not expected
    COULD_NOT_RUN = 2  #: no unexpected verdict, but a cell did not run


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a cell could not run or did not end properly, the remedy, and the end of its log."""

    reason: str
    remedy: str = ""
    log: str = ""
    unexpected: bool = False  #: the failure is the platform's or its kernel's, not the infrastructure's


@dataclass(frozen=True, slots=True)
class Judged:
    """One trial and the judgement on its verdict."""

    trial: Trial
    judgement: Judgement


def is_plain(judged: Judged) -> bool:
    """True if no rule and no excuse applied to the trial, so that a pass was expected."""
    return judged.judgement == Judgement(judged.trial.verdict is Verdict.PASS, PASSES)


@dataclass(frozen=True, slots=True)
class CellOutcome:
    """The outcome of one cell; `judged` has every planned trial."""

    cell: CellName
    judged: tuple[Judged, ...]
    seconds: float
    problem: Problem | None = None
    rules: tuple[Expectation, ...] = ()  #: those that held there; empty if the cell sent no header

    @property
    def ran(self) -> bool:
        """True if at least one trial reached a verdict."""
        return any(one.trial.verdict.is_verdict for one in self.judged)

    @property
    def unexpected(self) -> tuple[Judged, ...]:
        """The trials whose verdict was not expected."""
        return tuple(one for one in self.judged if not one.judgement.expected)

    @property
    def verdicts(self) -> Counter[Verdict]:
        """The number of trials by verdict."""
        return Counter(one.trial.verdict for one in self.judged)


class Stale(msgspec.Struct, frozen=True):
    """A rule that a run shows to be out of date, and why."""

    rule: str
    why: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.why}"


@dataclass(frozen=True, slots=True)
class Tally:
    """The three numbers in the last line of a run's output."""

    passed: int
    failed: int
    skipped: int

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def tally(outcomes: Iterable[CellOutcome]) -> Tally:
    """Count trials: an unexpected verdict counts as failed, an expected one other than a pass as skipped."""
    judged = [one for outcome in outcomes for one in outcome.judged]
    expected = [one for one in judged if one.judgement.expected]
    passed = sum(one.trial.verdict is Verdict.PASS for one in expected)
    return Tally(passed, len(judged) - len(expected), len(expected) - passed)


def status(outcomes: Iterable[CellOutcome], stale: Collection[Stale] = ()) -> Status:
    """Return the exit status of a run; a run without cells could not run."""
    if stale:
        return Status.UNEXPECTED
    cells = tuple(outcomes)
    reached = (one for cell in cells if cell.ran for one in cell.unexpected)
    if any(one.trial.verdict is not Verdict.MISS for one in reached) or any(
        cell.problem and cell.problem.unexpected for cell in cells
    ):
        return Status.UNEXPECTED
    if not cells or any(cell.problem or cell.unexpected for cell in cells):
        return Status.COULD_NOT_RUN
    return Status.AS_EXPECTED
