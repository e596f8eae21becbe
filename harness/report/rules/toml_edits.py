"""Edits a file of rules without changing the rest of its text, with comments.

A comment directly above a rule belongs to it.  Each edit is verified by parsing the new text: unless its content is
exactly the intended one, `CannotEdit` is raised.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import tomlkit
from tomlkit.items import AoT, Array, Item

from worldswitch.harness.expectations.fields import flat

Table = Mapping[str, Any]

WIDTH = 100  #: characters; a longer list is written with a line per item

_MARK = "\0"  #: cannot occur in TOML


class CannotEdit(Exception):
    """The text is written in a way that cannot be edited; the message says why."""


def rules_in(text: str) -> list[Table]:
    """Return the rules as tables."""
    return list(msgspec.toml.decode(text).get("expect", []))


def without_rule(text: str, index: int) -> str:
    """Return the text without the rule and its comment."""
    wanted, pieces = rules_in(text), _pieces(text)
    del wanted[index], pieces[index + 1]
    left = "".join(pieces)
    return _checked(left if index < len(wanted) else f"{left.rstrip()}\n".lstrip("\n"), text, wanted)


def without_scenarios(text: str, index: int, names: Iterable[str]) -> str:
    """Return the text without these scenarios in the rule; a rule with no others is removed."""
    wanted, gone = rules_in(text)[index], set(names)
    rest = [one for one in wanted.get("scenarios", []) if one not in gone]
    if not (rest or wanted.get("needs")):
        return without_rule(text, index)
    return _with_list(text, index, "scenarios", rest)


def with_verdicts(text: str, index: int, verdicts: Sequence[str]) -> str:
    """Return the text with these verdicts, a subset of its own, in the rule."""
    return _with_list(text, index, "verdicts", verdicts)


def with_rule(text: str, index: int, rule: Table) -> str:
    """Return the text with a new rule at `index`, or at the end."""
    wanted, pieces = rules_in(text), _pieces(text)
    before, after = "".join(pieces[: index + 1]).rstrip("\n"), "".join(pieces[index + 1 :])
    wanted.insert(index, rule)
    return _checked(f"{before}\n\n{written(rule)}" + (f"\n{after}" if after else ""), text, wanted)


def written(rule: Table) -> str:
    """Return a rule as TOML."""
    table = tomlkit.table()
    for name, value in rule.items():
        if value:
            table.add(name, _item(value))
    return f"[[expect]]\n{table.as_string()}"


def _item(value: Any) -> Item:
    if isinstance(value, Mapping):
        pairs = (f"{tomlkit.key(name.split('.')).as_string()} = {_item(one).as_string()}" for name, one in flat(value))
        return tomlkit.value(f"{{ {', '.join(pairs)} }}")
    found = tomlkit.item(value)
    return found.multiline(len(found.as_string()) > WIDTH) if isinstance(found, Array) else found


def _with_list(text: str, index: int, name: str, left: Sequence[str]) -> str:
    """The text with only the items `left` in a list of the rule; an empty list is removed."""
    wanted, pieces = rules_in(text), _pieces(text)
    document = tomlkit.parse(pieces[index + 1])
    (rule,) = document["expect"]
    for gone in [one for one in rule[name] if one not in left]:
        rule[name].remove(gone)
    if not left:
        del rule[name]
    wanted[index] = {field: one for field, one in {**wanted[index], name: list(left)}.items() if one}
    pieces[index + 1] = document.as_string()
    return _checked("".join(pieces), text, wanted)


def _pieces(text: str) -> list[str]:
    """The text before the rules, then each rule with its comment."""
    document = tomlkit.parse(text)
    rules = document.get("expect", tomlkit.aot())
    if not isinstance(rules, AoT) or document.as_string() != text:
        raise CannotEdit("some of its rules are not consecutive [[expect]] tables")
    for rule in rules:
        rule.trivia.indent = _MARK
    pieces = document.as_string().split(_MARK)
    for number in range(len(rules)):
        lines = pieces[number].splitlines(keepends=True)
        comment = list(itertools.takewhile(lambda line: line.startswith("#"), reversed(lines)))
        pieces[number] = "".join(lines[: len(lines) - len(comment)])
        pieces[number + 1] = "".join(reversed(comment)) + pieces[number + 1]
    return pieces


def _checked(text: str, before: str, wanted: Sequence[Table]) -> str:
    try:
        found = msgspec.toml.decode(text)
    except msgspec.DecodeError as problem:
        raise CannotEdit(f"the edited text would not be TOML: {problem}") from problem
    if {"expect": [], **found} != {**msgspec.toml.decode(before), "expect": list(wanted)}:
        raise CannotEdit("the edited text would have another meaning")
    return text
