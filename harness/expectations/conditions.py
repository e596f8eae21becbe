"""The conditions of a rule: a table of fields that must all match, each compared by its type.

    [expect.when]
    probe.sysemu = "no"                 # the cell's own probe; a list matches if any element does
    kernel = ">=5.10 <6.12"             # compared as far as written: 6.12.9 is 6.12
    profile.user = "!0:0"               # `!` negates; shell patterns: "docker:*"
    profile.capabilities = "SYS_PTRACE" # the set has it; "!SYS_PTRACE": it has not
    profile.limits.pids = "<64"
    profile.init = false

A condition on an absent field is false, even a negated one: a condition on the profile never holds on the host.
A version does not say what a kernel does, because distributions backport changes.  A rule that names a version must
also name a probe or a fact, or say in `why_not_probe` why it cannot.
"""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from worldswitch.harness.expectations.fields import (
    NAMES_OF_VERSIONS,
    SEEN,
    FieldKind,
    FieldValues,
    Value,
    choices,
    flat,
    kind_of,
)
from worldswitch.harness.linux.release import Numbers
from worldswitch.harness.nearest import hint

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "": operator.eq,
}

_STATES = ("yes", "no", "denied")


class BadCondition(ValueError):
    """A condition is invalid; carries the field and the problem."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


Test: TypeAlias = Callable[[Value], bool]


@dataclass(frozen=True, slots=True)
class Condition:
    """One field and its accepted values, as written in the rule."""

    field: str
    wanted: tuple[str, ...]  #: matches if any of these does

    def holds(self, known: FieldValues) -> bool:
        """True if the field is known and any of the values matches."""
        if self.field not in known:
            return False
        kind = kind_of(self.field) or FieldKind.TEXT
        return any(_TESTS[kind](one)(known[self.field]) for one in self.wanted)

    def __str__(self) -> str:
        return f"{self.field} = {' or '.join(self.wanted)}"


def parse(table: Mapping[str, Any], why_not_probe: str = "") -> tuple[Condition, ...]:
    """Return the conditions of a TOML table.  Raises `BadCondition`."""
    found = tuple(_condition(field, wanted) for field, wanted in flat(table))
    named = [one.field for one in found if one.field in NAMES_OF_VERSIONS]
    seen = any(one.field.startswith(SEEN) for one in found)
    if named and not seen and not why_not_probe:
        raise BadCondition(
            f"when.{named[0]}",
            "names a version alone; add a probe or a fact, or say in `why_not_probe` why there is none",
        )
    if why_not_probe and (seen or not named):
        raise BadCondition(
            "why_not_probe", "belongs only to a rule that names a version and neither a probe nor a fact"
        )
    return found


def _condition(field: str, wanted: Any) -> Condition:
    kind = kind_of(field)
    if kind is None:
        known = choices(field)
        like = hint(field, (one for one in known if not one.startswith(f"{field}.")))
        raise BadCondition(f"when.{field}", f"no such field{like}; there are {', '.join(known)}")
    return Condition(
        field, tuple(_checked(f"when.{field}", kind, one) for one in _listed(f"when.{field}", kind, wanted))
    )


def _listed(field: str, kind: FieldKind, wanted: Any) -> list[Any]:
    if not isinstance(wanted, list):
        return [wanted]
    if kind not in (FieldKind.TEXT, FieldKind.SET):
        raise BadCondition(field, f"a list; expected {kind.value}")
    if not wanted:
        raise BadCondition(field, "an empty list never matches")
    if any(isinstance(one, str) and one.startswith("!") for one in wanted) and len(wanted) > 1:
        raise BadCondition(field, "a list matches if any element does, and `!` almost always does; negate one value")
    return wanted


def _checked(field: str, kind: FieldKind, wanted: Any) -> str:
    written = {True: "true", False: "false"}[wanted] if isinstance(wanted, bool) else wanted
    if isinstance(wanted, bool) is not (kind is FieldKind.SWITCH):
        raise BadCondition(field, f"{written!r}; expected {kind.value}")
    if isinstance(wanted, int) and kind is FieldKind.NUMBER:
        return str(wanted)
    if not isinstance(written, str) or written in ("", "!"):
        raise BadCondition(field, f"{written!r}; expected {kind.value}")
    if kind in (FieldKind.VERSION, FieldKind.NUMBER):
        _check_order(field, kind, written)
    if field.startswith("when.probe.") and written.removeprefix("!") not in _STATES:
        raise BadCondition(field, f"{written!r} is not the state of a probe; expected one of {', '.join(_STATES)}")
    return written


def _check_order(field: str, kind: FieldKind, text: str) -> None:
    for word in text.split():
        if not _COMPARISON.fullmatch(word) or (kind is FieldKind.NUMBER and "." in word):
            raise BadCondition(field, f"{word!r}; expected {kind.value}")
    if field == "when.kernel" and any(len(numbers) != 2 for _, numbers in _comparisons(text)):
        raise BadCondition(field, f"{text!r}; expected a minor version of two numbers, such as 6.12")


_COMPARISON = re.compile(r"(<=|>=|<|>|)(\d+(?:\.\d+)*)")


def _comparisons(text: str) -> list[tuple[str, Numbers]]:
    """Return pairs of an operator and a version."""
    found = (_COMPARISON.fullmatch(word) for word in text.split())
    return [(parts[1], tuple(map(int, parts[2].split(".")))) for parts in found if parts]


# --------------------------------------------------------------------------------------------------------------- tests


def _test_text(wanted: str) -> Test:
    negated, pattern = wanted.startswith("!"), wanted.removeprefix("!")
    return lambda value: fnmatch.fnmatchcase(str(value), pattern) is not negated


def _test_members(wanted: str) -> Test:
    """Test for membership in a set; a string is a set of one."""
    negated, pattern = wanted.startswith("!"), wanted.removeprefix("!")

    def test(value: Value) -> bool:
        members = value if isinstance(value, frozenset) else (str(value),)
        return any(fnmatch.fnmatchcase(member, pattern) for member in members) is not negated

    return test


def _test_order(wanted: str) -> Test:
    """Test the order of versions; a number is a version of one part."""
    comparisons = _comparisons(wanted)

    def test(value: Value) -> bool:
        found = value if isinstance(value, tuple) else (value,)
        return all(_COMPARE[sign](found[: len(numbers)], numbers) for sign, numbers in comparisons)

    return test


_TESTS: dict[FieldKind, Callable[[str], Test]] = {
    FieldKind.TEXT: _test_text,
    FieldKind.SET: _test_members,
    FieldKind.VERSION: _test_order,
    FieldKind.NUMBER: _test_order,
    FieldKind.SWITCH: lambda wanted: lambda value: value is (wanted == "true"),
}
