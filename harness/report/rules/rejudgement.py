"""Judges a saved run again, by the current rules."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from worldswitch.harness.catalogue.scenarios import function_of
from worldswitch.harness.cell.records import Trial
from worldswitch.harness.expectations import fields, stale
from worldswitch.harness.expectations.fields import FieldValues
from worldswitch.harness.expectations.judgement import EXCUSABLE, PASSES, Expectation, deciding
from worldswitch.harness.expectations.outcome import CellOutcome, Judged, Stale
from worldswitch.harness.report.rules.rulebook import PlacedRule, Rulebook
from worldswitch.harness.results.reader import KeptCell, KeptRun
from worldswitch.harness.verdict import Verdict


@dataclass(frozen=True)
class RejudgedTrial:
    """One trial with a verdict on the platform, and the rule that now decides it."""

    cell: KeptCell
    known: FieldValues  #: of its cell
    trial: Trial
    excused: bool  #: True if the run expected it without a rule, because a need was missing
    by: PlacedRule | None  #: the rule that decides it now

    @property
    def expected(self) -> bool:
        """True if the current rules expect it."""
        return self.excused or self.trial.verdict in (self.by.rule.verdicts if self.by else PASSES)


@dataclass(frozen=True)
class Rejudgement:
    """A whole run, judged again."""

    seen: tuple[RejudgedTrial, ...]
    stale: tuple[tuple[PlacedRule, Stale], ...]  #: rules that are stale according to the run
    unseen: tuple[
        tuple[PlacedRule, frozenset[Verdict]], ...
    ]  #: rules that decided trials, with verdicts that never occurred

    @property
    def surprises(self) -> tuple[RejudgedTrial, ...]:
        """The trials that the current rules do not expect."""
        return tuple(one for one in self.seen if not one.expected)


def rejudge(run: KeptRun, book: Rulebook) -> Rejudgement:
    """Judge a run by the rules of `book`."""
    needs = {scenario.name: scenario.needs for scenario in run.manifest.scenarios}
    seen: list[RejudgedTrial] = []
    outcomes: list[CellOutcome] = []
    places: dict[Expectation, PlacedRule] = {}
    for cell in run.cells:
        if cell.header:
            known = fields.of(cell.name, cell.header, cell.plan.profile)
            holding = {one.rule: one for one in book.applying_to(cell) if one.rule.holds(known)}
            places |= holding
            outcomes.append(CellOutcome(cell.name, cell.judged, cell.seconds, None, tuple(holding)))
            seen += [_rejudged(cell, known, one, holding, needs) for one in cell.judged if one.trial.verdict.is_verdict]
    by_source = {rule.source: placed for rule, placed in places.items()}
    left_out = stale.left_out(chaos=run.has_chaos)
    found = stale.find(outcomes, needs, every=run.is_whole, left_out=left_out, today=dt.date.today())
    unseen = stale.unseen(outcomes, needs)
    return Rejudgement(
        tuple(seen),
        tuple((by_source[one.rule], one) for one in found),
        tuple((places[rule], verdicts) for rule, verdicts in unseen.items()),
    )


def _rejudged(
    cell: KeptCell,
    known: FieldValues,
    judged: Judged,
    holding: dict[Expectation, PlacedRule],
    needs: dict[str, tuple[str, ...]],
) -> RejudgedTrial:
    trial, judgement = judged.trial, judged.judgement
    rule = deciding(holding, trial.scenario, trial.ids, needs.get(function_of(trial.scenario), ()))
    excused = judgement.expected and trial.verdict in EXCUSABLE and not judgement.rule
    return RejudgedTrial(cell, known, trial, excused, holding[rule] if rule else None)
