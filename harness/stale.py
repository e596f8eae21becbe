"""Which rules are out of date, as a run shows.

    expired          its last day is over, and it is about scenarios that were planned where its conditions held
    about nothing    its conditions held, every scenario there is was planned, and it is about none of them
    decides nothing  wherever it holds, rules above it in its file hold too, and they are about all that it is about

A run of some scenarios shows nothing wrong with rules about others; nor does a run of some environments with rules
whose conditions held nowhere in it, or that other files' rules come before there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date

from worldswitch.harness.catalogue import function_of
from worldswitch.harness.expectations import Expectation, deciding
from worldswitch.harness.outcome import CellOutcome, Judged, Stale
from worldswitch.harness.verdict import Verdict

Needs = Mapping[str, Sequence[str]]  #: of each scenario, by its name

ABOUT_NOTHING = "it is about no scenario that there is"
DECIDES_NOTHING = "it decides nothing: rules above it hold where it does, and are about all that it is about"


def find(outcomes: Sequence[CellOutcome], needs: Needs, *, every: bool, today: date) -> list[Stale]:
    """The rules that these outcomes show to be out of date; `every`: they are of all the scenarios that there are."""
    held = dict.fromkeys(rule for outcome in outcomes for rule in outcome.rules)
    return [Stale(rule.source, why) for rule in held if (why := _why(rule, outcomes, needs, every, today))]


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
