"""Edits of a file of rules that change some lines and leave the rest as it was written, comments too.

Each edit is checked by reading the new text: if it does not say exactly what was meant, as with rules that are written
in an unusual way, `CannotEdit` is raised, and people have to do it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

Table = Mapping[str, Any]

WIDTH = 120


class CannotEdit(Exception):
    """The text is not written as this editor knows it."""


_START = re.compile(r"^\[\[\s*expect\s*\]\]", re.MULTILINE)
_TABLE = re.compile(r"^\[(?!\[?\s*expect\s*\.)", re.MULTILINE)


def rules_in(text: str) -> list[Table]:
    """The rules as tables."""
    return list(msgspec.toml.decode(text).get("expect", []))


def without_rule(text: str, index: int) -> str:
    """The text without a rule, and without the comment right above it."""
    start, end = _block(text, index)
    left = rules_in(text)
    del left[index]
    before, after = text[:start], text[end:]
    return _checked(before + after if after else f"{before.rstrip()}\n".lstrip("\n"), left)


def without_scenarios(text: str, index: int, names: Iterable[str]) -> str:
    """The text with a rule that is no longer about these; a rule about nothing else goes."""
    wanted = rules_in(text)
    gone = set(names)
    rest = [one for one in wanted[index].get("scenarios", []) if one not in gone]
    if not (rest or wanted[index].get("needs")):
        return without_rule(text, index)
    wanted[index] = _but(wanted[index], "scenarios", rest)
    start, end = _block(text, index)
    block = text[start:end]
    for name in gone:
        block = _without_item(block, name)
    return _checked(text[:start] + block + text[end:], wanted)


def with_verdicts(text: str, index: int, verdicts: Sequence[str]) -> str:
    """The text with a rule that expects these."""
    wanted = rules_in(text)
    wanted[index] = _but(wanted[index], "verdicts", list(verdicts))
    start, end = _block(text, index)
    listed = f"verdicts = {json.dumps(list(verdicts))}"
    block = re.sub(r"^verdicts\s*=\s*\[[^\]]*\]", listed, text[start:end], count=1, flags=re.MULTILINE)
    return _checked(text[:start] + block + text[end:], wanted)


def with_rule(text: str, index: int, rule: Table) -> str:
    """The text with one more rule at this place among them, or at the end."""
    wanted = rules_in(text)
    at = _block(text, index)[0] if index < len(wanted) else len(text)
    before, after = text[:at].rstrip("\n"), text[at:]
    wanted.insert(index, rule)
    return _checked(f"{before}\n\n{written(rule)}" + (f"\n{after}" if after else ""), wanted)


def written(rule: Table) -> str:
    """A rule as people write it."""
    return "\n".join(["[[expect]]", *(f"{name} = {_value(value)}" for name, value in rule.items() if value)]) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{name} = {_value(one)}' for name, one in _flat(value))} }}"
    if isinstance(value, (list, tuple)):
        line = f"[{', '.join(map(_value, value))}]"
        return line if len(line) < WIDTH - 20 else "[\n" + "".join(f"    {_value(one)},\n" for one in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def _flat(table: Mapping[str, Any], above: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{_key(name)}.")
        else:
            yield f"{above}{_key(name)}", value


def _key(name: str) -> str:
    return name if re.fullmatch(r"[\w-]+", name, re.ASCII) else json.dumps(name)


def _block(text: str, index: int) -> tuple[int, int]:
    """Where a rule's lines begin, with the comment right above it, and where the next thing's do."""
    starts = [found.start() for found in _START.finditer(text)]
    if index >= len(starts):
        raise CannotEdit("its rules are not all written as [[expect]]")
    following = _TABLE.search(text, starts[index] + 2)
    return _above(text, starts[index]), _above(text, following.start()) if following else len(text)


def _above(text: str, at: int) -> int:
    """Where the comment begins that stands right above a place."""
    while (line := text.rfind("\n", 0, at - 1) + 1) < at and text[line:at].startswith("#"):
        at = line
    return at


def _without_item(block: str, name: str) -> str:
    literal = re.escape(json.dumps(name, ensure_ascii=False))
    for pattern in (rf"^[ \t]*{literal}[ \t]*,?[ \t]*(#.*)?\n", rf"{literal}\s*,\s*", rf",\s*{literal}"):
        changed, count = re.subn(pattern, "", block, count=1, flags=re.MULTILINE)
        if count:
            return changed
    raise CannotEdit(f"{name} is not written as a text of its own")


def _but(table: Table, name: str, value: list[str]) -> Table:
    rest = {field: one for field, one in table.items() if field != name}
    return {**rest, name: value} if value else rest


def _checked(text: str, wanted: Sequence[Table]) -> str:
    try:
        found = rules_in(text)
    except msgspec.DecodeError as problem:
        raise CannotEdit(f"its text would no longer be TOML: {problem}") from problem
    if found != list(wanted):
        raise CannotEdit("its text would say something else")
    return text
