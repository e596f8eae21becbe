"""Finds rules that a run shows to be out of date.

    expired          its last day is over, and it covers planned trials where its conditions held
    covers nothing   its conditions held, every scenario was planned, and it covers none of them; in a run without
                     chaos, it covers no chaos scenario either
    decides nothing  wherever it holds, rules above it in its file hold too, and they cover all that it covers

A filtered run says nothing about rules for other scenarios, and a run in some environments nothing about rules whose
conditions held in none of them, or that the rules of another file precede there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date

from worldswitch.harness.catalogue import scenarios
from worldswitch.harness.catalogue.scenarios import Scenario, function_of
from worldswitch.harness.expectations.judgement import Expectation, deciding
from worldswitch.harness.expectations.outcome import CellOutcome, Judged, Stale
from worldswitch.harness.verdict import Verdict

Needs = Mapping[str, Sequence[str]]  #: the needs of each scenario, by its name

COVERS_NOTHING = "it covers no scenario"
DECIDES_NOTHING = "it decides nothing: rules above it hold wherever it does and cover all that it covers"


def find(
    outcomes: Sequence[CellOutcome],
    needs: Needs,
    *,
    every: bool,
    left_out: Sequence[Scenario] = (),
    today: date,
) -> list[Stale]:
    """Return the rules that these outcomes show to be out of date.

    `every` is True if all scenarios were planned except those in `left_out`.
    """
    found = []
    for rule in dict.fromkeys(rule for outcome in outcomes for rule in outcome.rules):
        shown = every and not any(rule.covers(one.name, one.ids, one.needs) for one in left_out)
        if why := _why(rule, outcomes, needs, shown, today):
            found.append(Stale(rule.source, why))
    return found


def left_out(*, chaos: bool) -> list[Scenario]:
    """Return the scenarios that an unfiltered run left out: those of chaos, unless `chaos`."""
    return [] if chaos else [one for one in scenarios.scenarios() if one.is_called(scenarios.CHAOS)]


def unseen(outcomes: Sequence[CellOutcome], needs: Needs) -> dict[Expectation, frozenset[Verdict]]:
    """Return, for each rule that decided something, the verdicts it allows that no trial reached."""
    found = {}
    for rule in dict.fromkeys(rule for outcome in outcomes for rule in outcome.rules):
        decided = (
            judged.trial.verdict
            for outcome, judged in _covered(rule, outcomes, needs)
            if deciding(outcome.rules, judged.trial.scenario, judged.trial.ids, _needs(judged, needs)) == rule
        )
        seen = {verdict for verdict in decided if verdict.is_verdict}
        if seen and (left := rule.verdicts - seen):
            found[rule] = left
    return found


def expired(rule: Expectation, today: date) -> str:
    """Return why a rule has expired; "" if it has not."""
    if rule.expires and today > rule.expires:
        return f"it expired after {rule.expires}; check whether it still applies, and renew or remove it"
    return ""


def always_before(rule: Expectation, rules: Iterable[Expectation]) -> list[Expectation]:
    """Return the rules above this one in its file that hold wherever it does: their conditions are among its own."""
    above = []
    for one in rules:
        if one == rule:
            break
        if one.file == rule.file and set(one.when) <= set(rule.when):
            above.append(one)
    return above


def _why(rule: Expectation, outcomes: Sequence[CellOutcome], needs: Needs, every: bool, today: date) -> str:
    covered = list(_covered(rule, outcomes, needs))
    if not covered:
        return COVERS_NOTHING if every else ""
    if why := expired(rule, today):
        return why
    if every and all(_is_shadowed(rule, outcome, judged, needs) for outcome, judged in covered):
        return DECIDES_NOTHING
    return ""


def _covered(rule: Expectation, outcomes: Iterable[CellOutcome], needs: Needs) -> Iterator[tuple[CellOutcome, Judged]]:
    """Yield the planned trials that a rule covers where it holds."""
    for outcome in outcomes:
        if rule in outcome.rules:
            for judged in outcome.judged:
                if rule.covers(judged.trial.scenario, judged.trial.ids, _needs(judged, needs)):
                    yield outcome, judged


def _is_shadowed(rule: Expectation, outcome: CellOutcome, judged: Judged, needs: Needs) -> bool:
    before = always_before(rule, outcome.rules)
    return deciding(before, judged.trial.scenario, judged.trial.ids, _needs(judged, needs)) is not None


def _needs(judged: Judged, needs: Needs) -> Sequence[str]:
    return needs.get(function_of(judged.trial.scenario), ())
