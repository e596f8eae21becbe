"""What is wrong with files of rules, as far as that can be said without a run.

unreadable    not TOML, an unknown field, a condition that means nothing: the first of a file, and nothing else of it
idle words    a scenario, a need or a fact by a name that nothing bears
expired       its last day is over
idle rules    those above it in the file hold where it does, and decide on all that it is about
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from worldswitch.harness.catalogue import scenarios
from worldswitch.harness.catalogue.scenarios import Scenario, function_of
from worldswitch.harness.cell.probes.table import PROBES
from worldswitch.harness.environments.profiles import profile
from worldswitch.harness.environments.profiles.profile import ProfileError
from worldswitch.harness.expectations import rules, stale
from worldswitch.harness.expectations.judgement import Expectation, deciding
from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.expectations.rules import RuleError


def show(files: Sequence[Path]) -> Status:
    """Print what is wrong with each file; all that come with the package if none is named."""
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
        print("\n".join(wrong) or f"{path}: {len(found)} rules, in order")
        status = Status.UNEXPECTED if wrong else status
    return status


def expectations_of(path: Path) -> tuple[Expectation, ...]:
    """The rules of a file of rules, or of a profile.  Raises `RuleError` and `ProfileError`."""
    try:
        is_profile = "capabilities" in msgspec.toml.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        is_profile = False  # whoever reads it says what is wrong with it
    return rules.of_profile(profile.load(path), path) if is_profile else rules.load(path).expectations


def complaints(
    rule: Expectation, file: Sequence[Expectation], known: Sequence[Scenario], facts: set[str]
) -> Iterator[str]:
    """What is wrong with a rule of a file."""
    for pattern in rule.scenarios:
        if not any(one.is_called(name) for one in known for name in (pattern, function_of(pattern))):
            yield f"{rule.source}: scenarios: {pattern} means none; `worldswitch list` shows them all"
    for need in sorted(rule.needs):
        if need not in PROBES:
            yield f"{rule.source}: needs: there is no probe {need}; there are {', '.join(PROBES)}"
        elif not any(need in one.needs for one in known):
            yield f"{rule.source}: needs: no scenario needs {need}"
    for condition in rule.when:
        group, _, name = condition.field.partition(".")
        if group == "fact" and name not in facts:
            yield f"{rule.source}: when.{condition.field}: no experiment is called {name}"
    if why := stale.expired(rule, dt.date.today()):
        yield f"{rule.source}: expires: {why}"
    about = [one for one in known if rule.covers(one.name, one.ids, one.needs)]
    above = stale.always_before(rule, file)
    if about and all(deciding(above, one.name, one.ids, one.needs) for one in about):
        yield f"{rule.source}: {stale.DECIDES_NOTHING}"
