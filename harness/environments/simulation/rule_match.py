"""Evaluates a runtime's rules directly: which rule decides a call, and the answer where libseccomp is absent.

As in libseccomp a rule without conditions decides its call, whatever other rules there are, and the first of two wins.
Where two rules with conditions match the same call, libseccomp's own order decides, which is not that of the rules:
only its program tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from worldswitch.harness.environments.simulation.runtime_rules import Condition, RuntimeRule

COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "SCMP_CMP_NE": lambda word, value: word != value,
    "SCMP_CMP_LT": lambda word, value: word < value,
    "SCMP_CMP_LE": lambda word, value: word <= value,
    "SCMP_CMP_EQ": lambda word, value: word == value,
    "SCMP_CMP_GE": lambda word, value: word >= value,
    "SCMP_CMP_GT": lambda word, value: word > value,
}
Arguments = Sequence[int | None]

#: Flags, descriptors and sizes are below this.  What is above is an address, or in a register that the call does not
#: use: it is one given value in no more than one of so many calls.
LEAST_ADDRESS = 1 << 32


def results(rules: Iterable[RuntimeRule], default: int, arguments: Arguments, mask: int) -> frozenset[int]:
    """Return what the rules of one call may answer; `mask` covers the bits of an argument."""
    every = list(rules)
    for rule in every:
        if all(_is_empty(one, mask) for one in rule.conditions):
            return frozenset((rule.value,))
    possible = set()
    for rule in every:
        matched = matches(rule, arguments, mask)
        if matched is not False:
            possible.add(rule.value)
        if matched:
            return frozenset(possible)
    return frozenset((*possible, default))


def _is_empty(condition: Condition, mask: int) -> bool:
    """True if the condition compares no bit: libseccomp leaves it out."""
    return condition.operator == "SCMP_CMP_MASKED_EQ" and not condition.value & mask


def matches(rule: RuntimeRule, arguments: Arguments, mask: int) -> bool | None:
    """Return whether all conditions hold; None if that depends on an unknown argument."""
    found = [_holds(one, arguments[one.index], mask) for one in rule.conditions]
    if False in found:
        return False
    return None if None in found else True


def _holds(condition: Condition, argument: int | None, mask: int) -> bool | None:
    if condition.operator == "SCMP_CMP_MASKED_EQ":
        value = condition.value & mask
        # libseccomp masks the operand too.
        return None if argument is None and value else (argument or 0) & value == condition.second & value
    if argument is None:
        return None
    return COMPARISONS[condition.operator](argument & mask, condition.value & mask)


def is_settled(rule: RuntimeRule, arguments: Arguments, ranges: Sequence[tuple[int, int]]) -> bool:
    """Return true if each condition on an unknown argument has one outcome for all values of its range."""
    return all(arguments[one.index] is not None or _settled(one, *ranges[one.index]) for one in rule.conditions)


def _settled(condition: Condition, low: int, high: int) -> bool:
    if condition.operator == "SCMP_CMP_MASKED_EQ":
        return low == high
    if condition.operator in ("SCMP_CMP_EQ", "SCMP_CMP_NE"):
        is_unlikely = condition.value >= LEAST_ADDRESS and condition.value != low
        return low == high or is_unlikely or not low <= condition.value <= high
    holds = COMPARISONS[condition.operator]
    return holds(low, condition.value) == holds(high, condition.value)
