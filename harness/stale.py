"""Which rules are out of date, as a run shows: those that could have decided something and did not, and the expired.

    expired          its last day is over, and it is about scenarios that were planned where its conditions held
    decides nothing  its conditions held and what it is about was planned, but rules before it decide all of that
    about nothing    its conditions held, every scenario there is was planned, and it is about none of them

A run of some scenarios shows less than one of all, but nothing wrong: rules about others, and rules whose conditions
held nowhere, are no business of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date

from worldswitch.harness.catalogue import Scenario, function_of
from worldswitch.harness.expectations import Expectation, deciding
from worldswitch.harness.outcome import CellOutcome, Judged, Stale
from worldswitch.harness.verdict import Verdict


def find(
    outcomes: Sequence[CellOutcome], scenarios: Mapping[str, Scenario], *, every: bool, today: date
) -> list[Stale]:
    """The rules that these outcomes show to be out of date; `every`: they are of all the scenarios that there are."""
    held = dict.fromkeys(rule for outcome in outcomes for rule in outcome.rules)
    return [Stale(rule.source, why) for rule in held if (why := _why(rule, outcomes, scenarios, every, today))]


def unseen(outcomes: Sequence[CellOutcome], scenarios: Mapping[str, Scenario]) -> dict[str, frozenset[Verdict]]:
    """Of each rule that decided something, the verdicts it allows that nothing came to."""
    found = {}
    for rule in dict.fromkeys(rule for outcome in outcomes for rule in outcome.rules):
        seen = {one.trial.verdict for one in decided(rule, outcomes, scenarios)}
        if seen and (left := rule.verdicts - seen):
            found[rule.source] = left
    return found


def decided(rule: Expectation, outcomes: Iterable[CellOutcome], scenarios: Mapping[str, Scenario]) -> Iterator[Judged]:
    """The trials on which a rule decides."""
    for outcome, judged in _about(rule, outcomes, scenarios):
        first = deciding(outcome.rules, judged.trial.scenario, judged.trial.ids, _needs(judged, scenarios))
        if first == rule:
            yield judged


def _why(
    rule: Expectation, outcomes: Sequence[CellOutcome], scenarios: Mapping[str, Scenario], every: bool, today: date
) -> str:
    if not any(_about(rule, outcomes, scenarios)):
        return "it is about no scenario that there is" if every else ""
    if rule.expires and today > rule.expires:
        return f"it expired after {rule.expires}; see whether it is still so, and renew it or take it out"
    if not any(decided(rule, outcomes, scenarios)):
        return "it decides nothing: rules before it are about all that it is about"
    return ""


def _about(
    rule: Expectation, outcomes: Iterable[CellOutcome], scenarios: Mapping[str, Scenario]
) -> Iterator[tuple[CellOutcome, Judged]]:
    """The planned trials that a rule covers, where it holds."""
    for outcome in outcomes:
        if rule in outcome.rules:
            for judged in outcome.judged:
                if rule.covers(judged.trial.scenario, judged.trial.ids, _needs(judged, scenarios)):
                    yield outcome, judged


def _needs(judged: Judged, scenarios: Mapping[str, Scenario]) -> tuple[str, ...]:
    known = scenarios.get(function_of(judged.trial.scenario))
    return known.needs if known else ()
