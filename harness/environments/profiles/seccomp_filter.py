"""Check a seccomp filter: a JSON file in the container engines' format.

An engine rejects an invalid filter only when a container starts, and silently drops fields that it does not know.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from worldswitch.harness.errors import CouldNotRun

#: Actions of a rule, by libseccomp's names.
ACTIONS = frozenset(
    f"SCMP_ACT_{name}"
    for name in ("ALLOW", "ERRNO", "KILL", "KILL_PROCESS", "KILL_THREAD", "LOG", "NOTIFY", "TRACE", "TRAP")
)
OPERATORS = frozenset(f"SCMP_CMP_{name}" for name in ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"))
#: Actions with an `errnoRet`: an errno, or the tracer's message.
ANSWERING = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")

CALL_NAME = re.compile(r"[a-z_][a-z0-9_]*")
MOST_ERRNO = 4095  #: MAX_ERRNO, include/linux/err.h
WORD = 1 << 64
ARGUMENTS = 6

Filter: TypeAlias = dict[str, Any]  #: the JSON object of the file


class ProfileError(CouldNotRun, ValueError):
    """A profile or filter is invalid; names the file, the field and the problem."""

    def __init__(self, path: Path | str, field: str, problem: str) -> None:
        super().__init__(f"{path}: {field}: {problem}" if field else f"{path}: {problem}")
        self.path = path
        self.field = field


def load(path: Path) -> Filter:
    """Read and check a filter.  Raises `ProfileError`."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as problem:
        raise ProfileError(path, "", f"cannot be read: {problem.strerror}") from problem
    except json.JSONDecodeError as problem:
        raise ProfileError(path, f"line {problem.lineno}", f"not JSON: {problem.msg}") from problem
    except UnicodeDecodeError as problem:
        raise ProfileError(path, "", f"not JSON: {problem}") from problem
    return check(content, path)


def check(content: object, path: Path) -> Filter:
    """Return `content` if it is a valid filter.  Raises `ProfileError`."""
    if not isinstance(content, dict):
        raise ProfileError(path, "", "a filter is a JSON object")
    place = _Place(path)
    place.known(content, FILTER_FIELDS)
    place.into("defaultAction").one_of(content.get("defaultAction"), ACTIONS, "action")
    if "defaultErrnoRet" in content:
        place.into("defaultErrnoRet").number(content["defaultErrnoRet"], MOST_ERRNO + 1)
    rules = content.get("syscalls")
    if not isinstance(rules, list):
        raise place.into("syscalls").wrong("must be a list of rules")
    for number, rule in enumerate(rules):
        _check_rule(rule, place.into(f"syscalls[{number}]"))
    return content


class _Place:
    """A field of a file, for error messages."""

    def __init__(self, path: Path, field: str = "") -> None:
        self.path = path
        self.field = field

    def into(self, name: str) -> _Place:
        return _Place(self.path, f"{self.field}.{name}" if self.field else name)

    def wrong(self, problem: str) -> ProfileError:
        return ProfileError(self.path, self.field, problem)

    def known(self, content: Mapping[str, object], fields: frozenset[str]) -> None:
        for name in content:
            if name not in fields:
                raise self.into(name).wrong(f"unknown field; expected one of {', '.join(sorted(fields))}")

    def one_of(self, value: object, choices: frozenset[str], what: str) -> None:
        if not isinstance(value, str) or value not in choices:
            raise self.wrong(f"{value!r} is no {what}; expected one of {', '.join(sorted(choices))}")

    def number(self, value: object, end: int) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < end:
            raise self.wrong(f"{value!r} is not an integer from 0 to {end - 1}")


FILTER_FIELDS = frozenset(
    ("comment", "defaultAction", "defaultErrnoRet", "architectures", "archMap", "flags", "syscalls")
)
RULE_FIELDS = frozenset(("comment", "names", "name", "action", "errnoRet", "errno", "args", "includes", "excludes"))
ARGUMENT_FIELDS = frozenset(("index", "value", "valueTwo", "op"))


def _check_rule(rule: object, place: _Place) -> None:
    if not isinstance(rule, dict) or not isinstance(rule.get("names"), list) or not rule["names"]:
        raise place.wrong("a rule is an object with `names`")
    place.known(rule, RULE_FIELDS)
    for number, name in enumerate(rule["names"]):
        if not isinstance(name, str) or not CALL_NAME.fullmatch(name):
            raise place.into(f"names[{number}]").wrong(f"{name!r} is not the name of a system call")
    place.into("action").one_of(rule.get("action"), ACTIONS, "action")
    if "errnoRet" in rule:
        place.into("errnoRet").number(rule["errnoRet"], MOST_ERRNO + 1)
        if rule["action"] not in ANSWERING:
            raise place.into("errnoRet").wrong(f"{rule['action']} returns no errno; only {' and '.join(ANSWERING)} do")
    for number, argument in enumerate(rule.get("args") or ()):
        _check_argument(argument, place.into(f"args[{number}]"))


def _check_argument(argument: object, place: _Place) -> None:
    if not isinstance(argument, dict):
        raise place.wrong("a condition is an object with `index`, `value` and `op`")
    place.known(argument, ARGUMENT_FIELDS)
    place.into("index").number(argument.get("index"), ARGUMENTS)
    place.into("value").number(argument.get("value"), WORD)
    place.into("valueTwo").number(argument.get("valueTwo", 0), WORD)
    place.into("op").one_of(argument.get("op"), OPERATORS, "operator")
