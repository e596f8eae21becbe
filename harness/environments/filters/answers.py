"""What a resolved filter answers to a system call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from worldswitch.harness.environments.filters import seccomp_values as values

_ANSWERS = {
    "SCMP_ACT_ALLOW": "allowed",
    "SCMP_ACT_LOG": "allowed, with a line in the kernel log",
    "SCMP_ACT_KILL": "kills the thread",
    "SCMP_ACT_KILL_THREAD": "kills the thread",
    "SCMP_ACT_KILL_PROCESS": "kills the process",
    "SCMP_ACT_TRAP": "SIGSYS",
    "SCMP_ACT_TRACE": "ENOSYS unless a tracer decides",
    "SCMP_ACT_NOTIFY": "an agent decides",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one call."""

    text: str
    allowed: bool  #: whatever its arguments
    some_allowed: bool  #: for some arguments

    def __str__(self) -> str:
        return self.text


def default(resolved: Mapping[str, Any]) -> str:
    """Return what the default action answers."""
    return _told(resolved["defaultAction"], resolved.get("defaultErrnoRet"))


def answer(resolved: Mapping[str, Any], call: str) -> Answer:
    """Return the answer to a call.

    The first rule without conditions on arguments decides, whatever rules with conditions say.  Runtimes skip rules
    that repeat the default.
    """
    if not resolved:
        return Answer("allowed", True, True)
    usual = effect(resolved["defaultAction"], resolved.get("defaultErrnoRet"))
    rules = [rule for rule in _of_call(resolved, call) if _effect_of(rule) != usual]
    plain = next((rule for rule in rules if not rule.get("args")), None)
    if plain or not rules:
        action, number = _effect_of(plain) if plain else usual
        allowed = action in values.ALLOWING
        return Answer(_told(action, number), allowed, allowed)
    special = list(dict.fromkeys(map(_effect_of, rules)))
    allowing = [action in values.ALLOWING for action, _ in (*special, usual)]
    told = " or ".join(_told(*one) for one in special)
    return Answer(f"{told}, by its arguments; otherwise {_told(*usual)}", all(allowing), any(allowing))


def effect(action: str, number: int | None) -> tuple[str, int | None]:
    """Return the action and its errno, EPERM if an errno is needed and none is given."""
    return action, (values.EPERM if number is None else number) if action in values.ANSWERING else None


def _effect_of(rule: Mapping[str, Any]) -> tuple[str, int | None]:
    return effect(rule["action"], rule.get("errnoRet"))


def _of_call(resolved: Mapping[str, Any], call: str) -> Iterator[Mapping[str, Any]]:
    return (rule for rule in resolved["syscalls"] if call in rule.get("names", ()))


def _told(action: str, number: int | None) -> str:
    if action != "SCMP_ACT_ERRNO":
        return _ANSWERS.get(action, action)
    number = values.EPERM if number is None else number
    return values.errno_name(number) if number else "0, without being run"
