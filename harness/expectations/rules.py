"""Rules: what scenarios come to where that is not a pass, under which conditions, why, and what that stands on.

They are data, in files of `containers/expectations` and, under the same name, `[[expect]]`, in profiles:

    [[expect]]
    scenarios = ["SG0*", "stops::a_group_stop_is_told"]  # ids or names or patterns of them, and, or instead,
    needs = ["sysemu"]                                   # whichever scenarios need one of these
    when = { probe.sysemu = "no" }                       # see `conditions`; without it: always
    verdicts = ["fail", "unsupported"]                   # one of these is expected, and nothing else
    reason = "said in the results"
    evidence = ["ptrace(2) PTRACE_SYSEMU", "kernel 93e35efb8de4"]
    expires = 2027-06-30                                 # from the next day on the rule makes a run red

Which rule decides can be told by reading: the first that covers the scenario and whose conditions hold.  Files of one's
own come first (`worldswitch run --rules FILE`), then the profile, then the files of `containers/expectations` in the
order of their names, each from top to bottom.

A file that names a `platform` is about that one alone, and one of the package's bears its name.  All others are about
every platform, and their rules say what they stand on.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from worldswitch.harness.environments.profiles import containers_data
from worldswitch.harness.environments.profiles.profile import Profile
from worldswitch.harness.environments.validation import field_and_problem
from worldswitch.harness.expectations import conditions
from worldswitch.harness.expectations.conditions import BadCondition
from worldswitch.harness.expectations.judgement import Expectation
from worldswitch.harness.verdict import Verdict

Sentence = Annotated[str, Meta(min_length=1)]


class RuleError(ValueError):
    """A file of rules that cannot be used: which file, which rule, which field, and what is wrong with it."""

    def __init__(self, path: Path | str, number: int | None, field: str, problem: str) -> None:
        place = (str(path), f"rule {number}" if number else "", field, problem)
        super().__init__(": ".join(filter(None, place)))


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
        """Refuse a rule about nothing, what is no condition, and what nobody may expect."""
        if not (self.scenarios or self.needs):
            raise ValueError("a line says by `scenarios` or `needs` what it is about")
        for verdict in self.verdicts:
            if not verdict.is_verdict:
                raise BadCondition("verdicts", f"{verdict.value!r} says that nothing was learnt, and is never expected")
        if set(self.verdicts) == {Verdict.PASS} and not (self.when or self.scenarios):
            raise BadCondition("verdicts", "a pass is what is expected without a rule")
        for reference in self.evidence:
            if "://" in reference:
                raise BadCondition(
                    "evidence", f"{reference!r} is an address; name a commit, a manual's section, a clause"
                )
        conditions.parse(self.when, self.why_not_probe)

    def expectation(self, source: str) -> Expectation:
        """The rule as it is applied; `source` says where it stands."""
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
    platform: str = ""  #: the only one they are about

    @property
    def expectations(self) -> tuple[Expectation, ...]:
        """The rules as they are applied, in their order."""
        return numbered(self.path.name, self.rules)


def of_profile(profile: Profile, path: Path | None = None) -> tuple[Expectation, ...]:
    """The rules of a profile, read from the file at `path`.  Raises `RuleError`."""
    file = f"{profile.name}.toml"
    return numbered(file, tuple(read(path or Path(file), list(profile.expect), profile.name)))


def numbered(file: str, rules: tuple[Rule, ...]) -> tuple[Expectation, ...]:
    """The rules of a file as they are applied; each is called by the file and its number."""
    return tuple(rule.expectation(f"{file} rule {number}") for number, rule in enumerate(rules, 1))


def folder() -> Path:
    """Where the files that come with the package are."""
    return containers_data.folder("expectations")


def packaged() -> list[Rules]:
    """The files that come with the package, in the order of their names.  Raises `RuleError`."""
    return [load(path) for path in sorted(folder().glob("*.toml"))]


def load_all(files: Iterable[str]) -> list[Rules]:
    """Files of one's own, in their order.  Raises `RuleError`."""
    return [load(Path(name)) for name in files]


def for_platform(platform: str, files: Iterable[Rules]) -> tuple[Expectation, ...]:
    """The rules in some files that speak of a platform, in their order."""
    return tuple(one for file in files if file.platform in ("", platform) for one in file.expectations)


# ------------------------------------------------------------------------------------------------------------- reading

_FIELDS = ("about", "platform", "expect")


def load(path: Path) -> Rules:
    """Read one file.  Raises `RuleError`."""
    try:
        content = parse(path, path.read_bytes())
    except OSError as problem:
        raise RuleError(path, None, "", f"cannot be read: {problem.strerror}") from problem
    for field in content:
        if field not in _FIELDS:
            raise RuleError(path, None, field, f"no field of a file of rules; there are {', '.join(_FIELDS)}")
    about, platform = (_text(path, content, field) for field in ("about", "platform"))
    if not about:
        raise RuleError(path, None, "about", "is missing: say in a sentence what the rules are about")
    if platform not in ("", path.stem) and path.parent == folder():
        raise RuleError(path, None, "platform", f"says {platform!r}, but a file bears its platform's name")
    return Rules(path, about, tuple(read(path, content.get("expect", []), platform)), platform)


def parse(path: Path, text: bytes) -> dict[str, Any]:
    """The tables of a file with this text.  Raises `RuleError`."""
    try:
        return msgspec.toml.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise RuleError(path, None, "", f"not TOML: {problem}") from problem


def _text(path: Path, content: dict[str, Any], field: str) -> str:
    value = content.get(field, "")
    if not isinstance(value, str) or (field in content and not value.strip()):
        raise RuleError(path, None, field, f"{value!r}, where there is to be a text")
    return value


def read(path: Path, tables: object, platform: str) -> Iterator[Rule]:
    """The rules of a file, given the tables in it and the platform they are about.  Raises `RuleError`."""
    if not isinstance(tables, list):
        raise RuleError(path, None, "expect", "rules are tables of a list: [[expect]]")
    for number, table in enumerate(tables, 1):
        try:
            rule = msgspec.convert(table, Rule)
        except msgspec.ValidationError as problem:
            raise RuleError(path, number, *_place(problem)) from problem
        if not (rule.evidence or platform):
            raise RuleError(path, number, "evidence", "is missing: a commit, a manual's section, a clause, a run")
        yield rule


def _place(problem: msgspec.ValidationError) -> tuple[str, str]:
    """The field and what is wrong with it: a condition's error of ours says both."""
    if isinstance(cause := problem.__cause__, BadCondition):
        return cause.field, cause.problem
    return field_and_problem(str(problem))
