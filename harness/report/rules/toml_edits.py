"""Edits of a file of rules that change some of it and leave the rest as it was written, comments too.

A comment right above a rule is part of it.  Each edit is checked by reading the new text: if it does not say exactly
what was meant, `CannotEdit` is raised, and people have to do it.
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

WIDTH = 100  #: a longer list gets a line for each item

_MARK = "\0"  #: no TOML has it


class CannotEdit(Exception):
    """The text is not written as this editor knows it."""


def rules_in(text: str) -> list[Table]:
    """The rules as tables."""
    return list(msgspec.toml.decode(text).get("expect", []))


def without_rule(text: str, index: int) -> str:
    """The text without a rule, and without the comment right above it."""
    wanted, pieces = rules_in(text), _pieces(text)
    del wanted[index], pieces[index + 1]
    left = "".join(pieces)
    return _checked(left if index < len(wanted) else f"{left.rstrip()}\n".lstrip("\n"), text, wanted)


def without_scenarios(text: str, index: int, names: Iterable[str]) -> str:
    """The text with a rule that is no longer about these; a rule about nothing else goes."""
    wanted, gone = rules_in(text)[index], set(names)
    rest = [one for one in wanted.get("scenarios", []) if one not in gone]
    if not (rest or wanted.get("needs")):
        return without_rule(text, index)
    return _with_list(text, index, "scenarios", rest)


def with_verdicts(text: str, index: int, verdicts: Sequence[str]) -> str:
    """The text with a rule that expects these."""
    return _with_list(text, index, "verdicts", verdicts)


def with_rule(text: str, index: int, rule: Table) -> str:
    """The text with one more rule at this place among them, or at the end."""
    wanted, pieces = rules_in(text), _pieces(text)
    before, after = "".join(pieces[: index + 1]).rstrip("\n"), "".join(pieces[index + 1 :])
    wanted.insert(index, rule)
    return _checked(f"{before}\n\n{written(rule)}" + (f"\n{after}" if after else ""), text, wanted)


def written(rule: Table) -> str:
    """A rule as people write it."""
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
    """The text with a rule whose list has only these of its items; without any, it has no such list."""
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
    """What stands above the rules, and each rule with the comment right above it."""
    document = tomlkit.parse(text)
    rules = document.get("expect", tomlkit.aot())
    if not isinstance(rules, AoT) or document.as_string() != text:
        raise CannotEdit("its rules are not all written as [[expect]], one after the other")
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
        raise CannotEdit(f"its text would no longer be TOML: {problem}") from problem
    if {"expect": [], **found} != {**msgspec.toml.decode(before), "expect": list(wanted)}:
        raise CannotEdit("its text would say something else")
    return text
