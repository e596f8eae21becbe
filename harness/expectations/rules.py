"""Rules: scenarios that do not pass, under which conditions, with which verdicts, why, and on what evidence.

They are in files of `containers/expectations` and, under the same name, `[[expect]]`, in profiles:

    [[expect]]
    scenarios = ["SG0*", "stops::a_group_stop_is_told"]  # ids, names or patterns of either
    needs = ["sysemu"]                                   # also each scenario that needs one of these
    when = { probe.sysemu = "no" }                       # see `conditions`; without it: always
    verdicts = ["fail", "unsupported"]                   # one of these is expected, and no other
    reason = "printed with the results"
    evidence = ["ptrace(2) PTRACE_SYSEMU", "kernel 93e35efb8de4"]
    expires = 2027-06-30                                 # the last valid day; later the rule makes a run red

The first rule that covers the scenario and whose conditions hold decides.  The order is: files of the command line
(`worldswitch run --rules FILE`), the profile, then the files of `containers/expectations` by name, each from top to
bottom.

A file that names a `platform` applies to that platform alone; in the package it must have the platform's name.  All
other files apply to every platform, and each of their rules must name its evidence.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from worldswitch.harness import decoding
from worldswitch.harness.environments.profiles import containers_data
from worldswitch.harness.environments.profiles.containers_data import field_and_problem
from worldswitch.harness.environments.profiles.profile import Profile
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.expectations import conditions
from worldswitch.harness.expectations.conditions import BadCondition
from worldswitch.harness.expectations.judgement import Expectation
from worldswitch.harness.linux import regular_file
from worldswitch.harness.verdict import Verdict

Sentence = Annotated[str, Meta(min_length=1)]


class RuleError(CouldNotRun, ValueError):
    """A file of rules is invalid; the message names the file, the rule, the field and the problem."""

    def __init__(self, path: Path | str, number: int | None, field: str, problem: str) -> None:
        parts = (str(path), f"rule {number}" if number else "", field, problem)
        super().__init__(": ".join(filter(None, parts)))


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[expect]]`."""

    verdicts: Annotated[tuple[Verdict, ...], Meta(min_length=1)]
    reason: Sentence
    scenarios: Annotated[tuple[Sentence, ...], Meta(min_length=1)] = ()
    needs: Annotated[tuple[Sentence, ...], Meta(min_length=1)] = ()
    when: dict[str, Any] = {}
    why_not_probe: str = ""
    evidence: tuple[Sentence, ...] = ()
    expires: dt.date | None = None

    def __post_init__(self) -> None:
        """Reject a rule that covers nothing, an invalid condition, and a verdict that may not be expected."""
        if not (self.scenarios or self.needs):
            raise ValueError("a rule must name `scenarios` or `needs`")
        for verdict in self.verdicts:
            if not verdict.is_verdict:
                raise BadCondition(
                    "verdicts", f"{verdict.value!r} is no result about the platform and may not be expected"
                )
        if set(self.verdicts) == {Verdict.PASS} and not (self.when or self.scenarios):
            raise BadCondition("verdicts", "a pass is expected without a rule")
        for reference in self.evidence:
            if "://" in reference:
                raise BadCondition(
                    "evidence", f"{reference!r} is a URL; name a commit, a section of a manual or a clause"
                )
        conditions.parse(self.when, self.why_not_probe)

    def expectation(self, source: str) -> Expectation:
        """Return the rule as it is applied; `source` names its file and number."""
        return Expectation(
            self.scenarios,
            frozenset(self.verdicts),
            self.reason,
            frozenset(self.needs),
            source=source,
            when=conditions.parse(self.when, self.why_not_probe),
            evidence=self.evidence,
            expires=self.expires,
        )


class Rules(msgspec.Struct, frozen=True):
    """One file of `containers/expectations`."""

    path: Path
    about: str
    rules: tuple[Rule, ...]
    platform: str = ""  #: the only one they apply to; empty: all

    @property
    def expectations(self) -> tuple[Expectation, ...]:
        """The rules as they are applied, in order."""
        return numbered(self.path.name, self.rules)


def of_profile(profile: Profile, path: Path | None = None) -> tuple[Expectation, ...]:
    """Return the rules of a profile; errors name the file `path`.  Raises `RuleError`."""
    file = f"{profile.name}.toml"
    return numbered(file, tuple(read(path or Path(file), list(profile.expect), profile.name)))


def numbered(file: str, rules: tuple[Rule, ...]) -> tuple[Expectation, ...]:
    """Return the rules of a file as they are applied, each with the file and its number as source."""
    return tuple(rule.expectation(f"{file} rule {number}") for number, rule in enumerate(rules, 1))


def folder() -> Path:
    """Return the folder of the files in the package."""
    return containers_data.folder("expectations")


def packaged() -> list[Rules]:
    """Read the files of the package, in the order of their names.  Raises `RuleError`."""
    return [load(path) for path in sorted(folder().glob("*.toml"))]


def load_all(files: Iterable[str]) -> list[Rules]:
    """Read these files, in their order.  Raises `RuleError`."""
    return [load(Path(name)) for name in files]


def for_platform(platform: str, files: Iterable[Rules]) -> tuple[Expectation, ...]:
    """Return the rules of these files that apply to a platform, in their order."""
    return tuple(one for file in files if file.platform in ("", platform) for one in file.expectations)


# ------------------------------------------------------------------------------------------------------------- reading

_FIELDS = ("about", "platform", "expect")


def load(path: Path) -> Rules:
    """Read one file.  Raises `RuleError`."""
    content = parse(path, text(path))
    for field in content:
        if field not in _FIELDS:
            raise RuleError(path, None, field, f"unknown field; there are {', '.join(_FIELDS)}")
    about, platform = (_text(path, content, field) for field in ("about", "platform"))
    if not about:
        raise RuleError(path, None, "about", "missing: one sentence describing these rules")
    if platform not in ("", path.stem) and path.parent == folder():
        raise RuleError(path, None, "platform", f"{platform!r} in a file of another name; rename one of the two")
    return Rules(path, about, tuple(read(path, content.get("expect", []), platform)), platform)


def text(path: Path) -> bytes:
    """Return the text of a file of rules or a profile.  Raises `RuleError`."""
    try:
        return regular_file.read(path)
    except OSError as problem:
        raise RuleError(path, None, "", f"cannot be read: {problem.strerror}") from problem


def parse(path: Path, text: bytes) -> dict[str, Any]:
    """Parse the TOML text of a file.  Raises `RuleError`."""
    try:
        return decoding.from_toml(text, dict[str, Any])
    except msgspec.DecodeError as problem:
        raise RuleError(path, None, "", f"not TOML: {problem}") from problem


def _text(path: Path, content: dict[str, Any], field: str) -> str:
    value = content.get(field, "")
    if not isinstance(value, str) or (field in content and not value.strip()):
        raise RuleError(path, None, field, f"{value!r}; expected a non-empty string")
    return value


def read(path: Path, tables: object, platform: str) -> Iterator[Rule]:
    """Yield the rules in the tables of a file about `platform` (empty: about all).  Raises `RuleError`."""
    if not isinstance(tables, list):
        raise RuleError(path, None, "expect", "rules must be an array of tables: [[expect]]")
    for number, table in enumerate(tables, 1):
        yield _rule(path, number, table, platform)


def errors(path: Path, tables: list[Any], platform: str) -> Iterator[RuleError]:
    """Yield the error of each table that is no rule."""
    for number, table in enumerate(tables, 1):
        try:
            _rule(path, number, table, platform)
        except RuleError as problem:
            yield problem


def _rule(path: Path, number: int, table: object, platform: str) -> Rule:
    try:
        rule = msgspec.convert(table, Rule)
    except msgspec.ValidationError as problem:
        raise RuleError(path, number, *_field(problem)) from problem
    if not (rule.evidence or platform):
        raise RuleError(path, number, "evidence", "missing: a commit, a section of a manual, a clause or a run")
    return rule


def _field(problem: msgspec.ValidationError) -> tuple[str, str]:
    """Return the field and the problem; a `BadCondition` has both."""
    if isinstance(cause := problem.__cause__, BadCondition):
        return cause.field, cause.problem
    return field_and_problem(str(problem))
