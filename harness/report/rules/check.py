"""Checks files of rules for errors that need no run to find.

unreadable    not TOML, an unknown field, an invalid condition: only the first error of a file is reported
unknown       a scenario, a need or a fact that does not exist
expired       the rule's last day has passed
shadowed      earlier rules of the file hold wherever this one does, and decide all its trials
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path

from worldswitch.harness.catalogue import scenarios
from worldswitch.harness.catalogue.scenarios import Scenario, function_of
from worldswitch.harness.cell.probes.table import PROBES
from worldswitch.harness.environments.profiles import profile
from worldswitch.harness.environments.profiles.profile import ProfileError
from worldswitch.harness.expectations import rules, stale
from worldswitch.harness.expectations.judgement import Expectation, deciding
from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.expectations.rules import RuleError
from worldswitch.harness.nearest import hint


def show(files: Sequence[Path]) -> Status:
    """Print the errors of each file, by default of all files of the package; returns UNEXPECTED if there are any."""
    known, facts = scenarios.scenarios(), {fact.scenario.name for fact in scenarios.facts()}
    status = Status.AS_EXPECTED
    for path in files or [*sorted(rules.folder().glob("*.toml")), *profile.available().values()]:
        try:
            found = expectations_of(path)
        except (RuleError, ProfileError) as problem:
            print(problem)
            status = Status.UNEXPECTED
            continue
        wrong = [line for rule in found for line in complaints(rule, found, known, facts)]
        print("\n".join(wrong) or f"{path}: {len(found)} rules, no errors")
        status = Status.UNEXPECTED if wrong else status
    return status


def expectations_of(path: Path) -> tuple[Expectation, ...]:
    """Return the rules of a file of rules or a profile; raises `RuleError` or `ProfileError`."""
    is_profile = "capabilities" in rules.parse(path, rules.text(path))
    return rules.of_profile(profile.load(path), path) if is_profile else rules.load(path).expectations


def complaints(
    rule: Expectation, file: Sequence[Expectation], known: Sequence[Scenario], facts: set[str]
) -> Iterator[str]:
    """Yield the errors of a rule of `file`."""
    for pattern in rule.scenarios:
        if not any(one.is_called(name) for one in known for name in (pattern, function_of(pattern))):
            like = hint(pattern, (own for one in known for own in (*one.ids, one.name)))
            yield f"{rule.source}: scenarios: {pattern} matches none{like}; see `worldswitch list scenarios`"
    for need in sorted(rule.needs):
        if need not in PROBES:
            yield f"{rule.source}: needs: unknown probe {need}{hint(need, PROBES)}; see `worldswitch list probes`"
        elif not any(need in one.needs for one in known):
            yield f"{rule.source}: needs: no scenario needs {need}"
    for condition in rule.when:
        group, _, name = condition.field.partition(".")
        if group == "fact" and name not in facts:
            yield f"{rule.source}: when.{condition.field}: no experiment is called {name}{hint(name, facts)}"
    if why := stale.expired(rule, dt.date.today()):
        yield f"{rule.source}: expires: {why}"
    about = [one for one in known if rule.covers(one.name, one.ids, one.needs)]
    above = stale.always_before(rule, file)
    if about and all(deciding(above, one.name, one.ids, one.needs) for one in about):
        yield f"{rule.source}: {stale.DECIDES_NOTHING}"
