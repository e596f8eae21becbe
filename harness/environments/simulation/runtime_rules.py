"""The rules that a runtime gives libseccomp for a filter in the OCI format.

runc and crun agree: a rule with the default action is dropped, an unknown name is skipped, and a rule with two
conditions on the same argument becomes one rule for each condition.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worldswitch.harness.environments.simulation.answer import value_of


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on an argument: `value` is the mask of SCMP_CMP_MASKED_EQ, and `second` its operand."""

    index: int
    operator: str
    value: int
    second: int = 0


@dataclass(frozen=True, slots=True)
class RuntimeRule:
    """A rule for one call."""

    place: int  #: index of the OCI rule
    name: str
    value: int  #: the action with its data
    conditions: tuple[Condition, ...] = ()


def default_value(content: Mapping[str, Any]) -> int:
    """Return the value of the default action."""
    return value_of(content["defaultAction"], content.get("defaultErrnoRet"))


def rules(content: Mapping[str, Any]) -> Iterator[RuntimeRule]:
    """Yield the rules in the order in which a runtime adds them."""
    default = default_value(content)
    for place, rule in enumerate(content.get("syscalls") or ()):
        value = value_of(rule["action"], rule.get("errnoRet"))
        if value == default:
            continue
        for name in rule.get("names") or ():
            for conditions in _split([_condition(one) for one in rule.get("args") or ()]):
                yield RuntimeRule(place, name, value, conditions)


def _condition(argument: Mapping[str, Any]) -> Condition:
    return Condition(argument["index"], argument["op"], argument["value"], argument.get("valueTwo") or 0)


def _split(conditions: Sequence[Condition]) -> list[tuple[Condition, ...]]:
    if any(count > 1 for count in Counter(one.index for one in conditions).values()):
        return [(one,) for one in conditions]
    return [tuple(conditions)]
