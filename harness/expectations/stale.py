"""Which rules are out of date, as a run shows.

    expired          its last day is over, and it is about scenarios that were planned where its conditions held
    about nothing    its conditions held, every scenario there is was planned, and it is about none of them; in a run
                     without chaos, not about one of those either
    decides nothing  wherever it holds, rules above it in its file hold too, and they are about all that it is about

A run of some scenarios shows nothing wrong with rules about others; nor does a run of some environments with rules
whose conditions held nowhere in it, or that other files' rules come before there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date

from worldswitch.harness.catalogue import scenarios
from worldswitch.harness.catalogue.scenarios import Scenario, function_of
from worldswitch.harness.expectations.judgement import Expectation, deciding
from worldswitch.harness.expectations.outcome import CellOutcome, Judged, Stale
from worldswitch.harness.verdict import Verdict

Needs = Mapping[str, Sequence[str]]  #: of each scenario, by its name

ABOUT_NOTHING = "it is about no scenario that there is"
DECIDES_NOTHING = "it decides nothing: rules above it hold where it does, and are about all that it is about"


def find(
    outcomes: Sequence[CellOutcome],
    needs: Needs,
    *,
    every: bool,
    left_out: Sequence[Scenario] = (),
    today: date,
) -> list[Stale]:
    """The rules that these outcomes show to be out of date.

    `every`: they are of all the scenarios that there are, but for those in `left_out`.
    """
    found = []
    for rule in dict.fromkeys(rule for outcome in outcomes for rule in outcome.rules):
        shown = every and not any(rule.covers(one.name, one.ids, one.needs) for one in left_out)
        if why := _why(rule, outcomes, needs, shown, today):
            found.append(Stale(rule.source, why))
    return found


def left_out(*, chaos: bool) -> list[Scenario]:
    """What a run of all scenarios has left out, depending on whether chaos reigned in some."""
    return [] if chaos else [one for one in scenarios.scenarios() if one.is_called(scenarios.CHAOS)]


def unseen(outcomes: Sequence[CellOutcome], needs: Needs) -> dict[Expectation, frozenset[Verdict]]:
    """Of each rule that decided something, the verdicts it allows that nothing came to."""
    found = {}
    for rule in dict.fromkeys(rule for outcome in outcomes for rule in outcome.rules):
        decided = (
            judged.trial.verdict
            for outcome, judged in _about(rule, outcomes, needs)
            if deciding(outcome.rules, judged.trial.scenario, judged.trial.ids, _needs(judged, needs)) == rule
        )
        seen = {verdict for verdict in decided if verdict.is_verdict}
        if seen and (left := rule.verdicts - seen):
            found[rule] = left
    return found


def expired(rule: Expectation, today: date) -> str:
    """What there is to say of a rule whose last day is over; "" of others."""
    if rule.expires and today > rule.expires:
        return f"it expired after {rule.expires}; see whether it is still so, and renew it or take it out"
    return ""


def always_before(rule: Expectation, rules: Iterable[Expectation]) -> list[Expectation]:
    """The rules above one in its file that hold wherever it does, since what they ask for is part of what it asks."""
    above = []
    for one in rules:
        if one == rule:
            break
        if one.file == rule.file and set(one.when) <= set(rule.when):
            above.append(one)
    return above


def _why(rule: Expectation, outcomes: Sequence[CellOutcome], needs: Needs, every: bool, today: date) -> str:
    about = list(_about(rule, outcomes, needs))
    if not about:
        return ABOUT_NOTHING if every else ""
    if why := expired(rule, today):
        return why
    if every and all(_is_shadowed(rule, outcome, judged, needs) for outcome, judged in about):
        return DECIDES_NOTHING
    return ""


def _about(rule: Expectation, outcomes: Iterable[CellOutcome], needs: Needs) -> Iterator[tuple[CellOutcome, Judged]]:
    """The planned trials that a rule covers, where it holds."""
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
