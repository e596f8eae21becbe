"""Checks users' profiles and filters: what each file is, every error, and what an engine ignores."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from worldswitch.harness.catalogue import scenarios as catalogue
from worldswitch.harness.catalogue.scenarios import Scenario
from worldswitch.harness.cell.probes import table
from worldswitch.harness.environments.filters import filter_file
from worldswitch.harness.environments.filters.findings import Finding, Severity
from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.environments.profiles import seccomp_filter
from worldswitch.harness.environments.profiles.profile import ProfileError
from worldswitch.harness.expectations import rules
from worldswitch.harness.expectations.judgement import Expectation
from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.report import filter_effect, filter_summary


class FileCheck(msgspec.Struct, frozen=True):
    """The check of one file."""

    file: str
    what: tuple[str, ...] = ()  #: what it is, a line for each filter
    effect: tuple[str, ...] = ()  #: what its filter does to this suite
    errors: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    notes: tuple[Finding, ...] = ()
    readable: bool = True

    @property
    def status(self) -> Status:
        """COULD_NOT_RUN if the file could not be read, UNEXPECTED if it has an error."""
        if not self.readable:
            return Status.COULD_NOT_RUN
        return Status.UNEXPECTED if self.errors else Status.AS_EXPECTED

    def lines(self) -> Iterator[str]:
        """Yield the lines for standard error."""
        yield from (f"{self.file}: {one}" for one in self.errors)
        yield from (f"{self.file}: {one.severity}: {one}" for one in (*self.warnings, *self.notes))

    @property
    def fields(self) -> dict[str, Any]:
        """Its JSON."""
        findings = {
            kind: [{"field": one.field, "text": one.text} for one in getattr(self, kind)]
            for kind in ("errors", "warnings", "notes")
        }
        told = {"what": list(self.what), "effect": list(self.effect)}
        return {"file": self.file, "ok": not self.errors, **told, **findings}


def show(files: Sequence[Path], *, as_json: bool = False) -> Status:
    """Print what each file is, its errors and warnings; returns the worst status."""
    found = [check(path) for path in files]
    if as_json:
        print(json.dumps([one.fields for one in found], indent=2))
    else:
        for one in found:
            print("\n".join(one.lines()), end="\n" if any(one.lines()) else "", file=sys.stderr, flush=True)
            text = [*(f"{one.file}: {line}" for line in one.what), *(f"  {line}" for line in one.effect)]
            print("\n".join(text), end="\n" if text else "", flush=True)
    return max((one.status for one in found), default=Status.AS_EXPECTED)


def check(path: Path) -> FileCheck:
    """Return what the file is and what is wrong with it."""
    try:
        if path.suffix.lower() in seccomp_filter.SUFFIXES:
            return _of_filter(path)
        if path.suffix != ".toml":
            raise ProfileError(
                path, "", f"expected a profile, NAME.toml, or a filter, NAME{', NAME'.join(seccomp_filter.SUFFIXES)}"
            )
        return _of_profile(path)
    except ProfileError as problem:
        readable = not isinstance(problem.__cause__, OSError)
        return FileCheck(str(path), errors=problem.findings, readable=readable)


def _of_filter(path: Path) -> FileCheck:
    try:
        found, around = filter_file.read(path)
    except OSError as problem:
        raise ProfileError(path, "", f"cannot be read: {problem.strerror}") from problem
    what = [filter_summary.summary(one) for one in found if not one.errors]
    return _sorted(path, what, [*around, *(finding for one in found for finding in one.findings)])


def _of_profile(path: Path) -> FileCheck:
    profile = profiles.load(path)
    findings = list(_rule_errors(profile, path))
    if profile.filter:
        checked = seccomp_filter.load_checked(profiles.filter_path(profile.seccomp))
        findings += [Finding(one.severity, f"seccomp: {one.field}", one.text) for one in checked.findings]
    return _sorted(path, [f"a profile with {len(profile.expect)} rules"], findings)


def _sorted(path: Path, what: Sequence[str], findings: Sequence[Finding]) -> FileCheck:
    errors, warnings, notes = (
        tuple(one for one in findings if one.severity is severity)
        for severity in (Severity.ERROR, Severity.WARNING, Severity.NOTE)
    )
    if errors:
        return FileCheck(str(path), (), (), errors, warnings, notes)
    effect = filter_effect.lines(path) if len(what) == 1 else ()  # a run takes a file with one filter
    return FileCheck(str(path), tuple(what), tuple(effect), (), warnings, notes)


def _rule_errors(profile: profiles.Profile, path: Path) -> Iterator[Finding]:
    wrong = list(rules.errors(path, list(profile.expect), profile.name))
    yield from (Finding(Severity.ERROR, "", str(one).removeprefix(f"{path}: ")) for one in wrong)
    if not wrong:
        yield from wrong_names(rules.of_profile(profile, path), catalogue.scenarios())


def wrong_names(expected: Sequence[Expectation], scenarios: Sequence[Scenario]) -> Iterator[Finding]:
    """Yield an error for each scenario and probe of a rule that does not exist."""
    for number, line in enumerate(expected, 1):
        for index, need in enumerate(sorted(line.needs)):
            if need not in table.PROBES:
                problem = f"unknown probe {need!r}; the probes are {', '.join(table.PROBES)}"
                yield Finding(Severity.ERROR, f"rule {number}: needs[{index}]", problem)
        for index, pattern in enumerate(line.scenarios):
            if not any(one.is_called(pattern) for one in scenarios):
                problem = f"no scenario is called {pattern!r}; `worldswitch list` lists all scenarios"
                yield Finding(Severity.ERROR, f"rule {number}: scenarios[{index}]", problem)
