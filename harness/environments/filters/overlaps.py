"""Finds rules for the same call that contradict each other, and rules without effect, in a resolved filter."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from worldswitch.harness.environments.filters.answers import effect
from worldswitch.harness.environments.filters.findings import Finding, Severity

Effect: TypeAlias = tuple[str, int | None]
Rule: TypeAlias = Mapping[str, Any]


def find(resolved: Mapping[str, Any], field: str) -> Iterator[Finding]:
    """Yield the findings; `field` is the place of the rules."""
    if not resolved:
        return
    usual = effect(resolved["defaultAction"], resolved.get("defaultErrnoRet"))
    by_call: defaultdict[str, list[Rule]] = defaultdict(list)
    useless: dict[str, None] = {}
    for rule in resolved["syscalls"]:
        for name in rule.get("names", ()):
            if _effect(rule) == usual:
                useless[name] = None
            else:
                by_call[name].append(rule)
    for name, rules in by_call.items():
        yield from _of_call(name, rules, field)
    if useless:
        yield Finding(
            Severity.NOTE, field, f"rules that repeat the default action have no effect: {_some(list(useless))}"
        )


def _of_call(name: str, rules: list[Rule], field: str) -> Iterator[Finding]:
    plain = [rule for rule in rules if not rule.get("args")]
    conditional = [rule for rule in rules if rule.get("args")]
    if len({_effect(rule) for rule in plain}) > 1:
        yield Finding(
            Severity.WARNING,
            field,
            f"{name} has two answers, and the first rule decides",
        )
    if plain and any(_effect(rule) != _effect(plain[0]) for rule in conditional):
        yield Finding(
            Severity.WARNING,
            field,
            f"{name} is in a rule without conditions on its arguments, which decides: its rules with conditions have "
            "no effect",
        )
    seen: dict[str, Effect] = {}
    for rule in conditional if not plain else ():
        if seen.setdefault(repr(rule["args"]), _effect(rule)) != _effect(rule):
            yield Finding(
                Severity.ERROR, field, f"{name} has two answers for the same arguments, and runtimes refuse the filter"
            )
            return


def _effect(rule: Rule) -> Effect:
    return effect(rule["action"], rule.get("errnoRet"))


def _some(names: list[str], most: int = 8) -> str:
    return " ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
