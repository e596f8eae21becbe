"""Checks users' profiles and filters; each error names the file, the field and the reason."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from worldswitch.harness.catalogue import scenarios as catalogue
from worldswitch.harness.catalogue.scenarios import Scenario
from worldswitch.harness.cell.probes import table
from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.environments.profiles import seccomp_filter
from worldswitch.harness.environments.profiles.profile import ProfileError
from worldswitch.harness.expectations import rules
from worldswitch.harness.expectations.judgement import Expectation
from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.expectations.rules import RuleError
from worldswitch.harness.report import filter_effect


def show(files: Sequence[Path]) -> Status:
    """Print what each file is, or its error; returns UNEXPECTED if a file has one."""
    status = Status.AS_EXPECTED
    for path in files:
        try:
            print(f"{path}: {check(path)}")
            print("\n".join(f"  {line}" for line in filter_effect.lines(path)))
        except (ProfileError, RuleError) as problem:
            print(problem, file=sys.stderr)
            status = Status.UNEXPECTED
    return status


def check(path: Path) -> str:
    """Return what the file is; raises `ProfileError`, or `RuleError` for its rules."""
    if path.suffix == ".json":
        return f"a filter of {len(seccomp_filter.load(path)['syscalls'])} rules"
    if path.suffix != ".toml":
        raise ProfileError(path, "", "expected a profile, NAME.toml, or a filter, NAME.json")
    profile = profiles.load(path)
    check_expectations(rules.of_profile(profile, path), path, catalogue.scenarios())
    return f"a profile with {len(profile.expect)} rules"


def check_expectations(expected: Sequence[Expectation], path: Path, scenarios: Sequence[Scenario]) -> None:
    """Raise `ProfileError` if a rule names a scenario or a probe that does not exist."""
    for number, line in enumerate(expected, 1):
        for index, need in enumerate(sorted(line.needs)):
            if need not in table.PROBES:
                raise ProfileError(
                    path,
                    f"rule {number}: needs[{index}]",
                    f"unknown probe {need!r}; the probes are {', '.join(table.PROBES)}",
                )
        for index, pattern in enumerate(line.scenarios):
            if not any(one.is_called(pattern) for one in scenarios):
                raise ProfileError(
                    path,
                    f"rule {number}: scenarios[{index}]",
                    f"no scenario is called {pattern!r}; `worldswitch list` lists all scenarios",
                )
