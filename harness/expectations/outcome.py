"""What came out of a run: its cells, each trial with the judgement on it, and the exit status they amount to.

A **cell** is one platform in one environment with all the scenarios planned there.  A cell *ran* if it taught something
about the platform: at least one of its trials reached a verdict.
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

    AS_EXPECTED = 0  #: every cell ran, and every verdict was the one to expect
    UNEXPECTED = 1  #: a verdict was not
    COULD_NOT_RUN = 2  #: nothing unexpected was seen, but a cell did not run: that is no good news either


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a cell could not run or did not end as it should, what to do, and what it said last."""

    reason: str
    remedy: str = ""
    log: str = ""
    unexpected: bool = False  #: it says something against what was under test, and not only that nothing was learnt


@dataclass(frozen=True, slots=True)
class Judged:
    """One trial, and whether its verdict was to be expected."""

    trial: Trial
    judgement: Judgement


def is_plain(judged: Judged) -> bool:
    """Whether there is nothing to say of a judgement: a pass was expected, because no rule spoke of the trial."""
    return judged.judgement == Judgement(judged.trial.verdict is Verdict.PASS, PASSES)


@dataclass(frozen=True, slots=True)
class CellOutcome:
    """What came out of one cell; every planned scenario is among the judged."""

    cell: CellName
    judged: tuple[Judged, ...]
    seconds: float
    problem: Problem | None = None
    rules: tuple[Expectation, ...] = ()  #: those that held there; none if that could not be known

    @property
    def ran(self) -> bool:
        """At least one trial reached a verdict."""
        return any(one.trial.verdict.is_verdict for one in self.judged)

    @property
    def unexpected(self) -> tuple[Judged, ...]:
        """The trials whose verdict was not to be expected."""
        return tuple(one for one in self.judged if not one.judgement.expected)

    @property
    def verdicts(self) -> Counter[Verdict]:
        """How many trials ended in each verdict."""
        return Counter(one.trial.verdict for one in self.judged)


class Stale(msgspec.Struct, frozen=True):
    """A rule that could have decided something in a run, and is out of date."""

    rule: str
    why: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.why}"


@dataclass(frozen=True, slots=True)
class Tally:
    """The three numbers a run closes with."""

    passed: int
    failed: int
    skipped: int

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def tally(outcomes: Iterable[CellOutcome]) -> Tally:
    """Count trials: whatever was not to be expected has failed, what is expected not to pass was skipped."""
    judged = [one for outcome in outcomes for one in outcome.judged]
    expected = [one for one in judged if one.judgement.expected]
    passed = sum(one.trial.verdict is Verdict.PASS for one in expected)
    return Tally(passed, len(judged) - len(expected), len(expected) - passed)


def status(outcomes: Iterable[CellOutcome], stale: Collection[Stale] = ()) -> Status:
    """The exit status these outcomes amount to; a run without a cell could not run."""
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
