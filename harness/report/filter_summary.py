"""What a filter is, in one line: its default, rules and architectures, and what it answers to ptrace."""

from __future__ import annotations

from collections.abc import Iterator

from worldswitch.harness.environments.filters import answers
from worldswitch.harness.environments.filters.filter_file import CheckedFilter
from worldswitch.harness.environments.filters.resolution import SeccompTarget, resolve
from worldswitch.harness.environments.oci.capabilities import USUAL

CALL, CAPABILITY = "ptrace", "CAP_SYS_PTRACE"


def summary(checked: CheckedFilter) -> str:
    """Return the line for a valid filter."""
    resolved = resolve(checked.content, USUAL, SeccompTarget.here())
    name = f"{checked.name}: " if checked.name else ""
    if not resolved:
        return f"{name}no filter: every system call is allowed"
    return f"{name}a filter: {'; '.join(_parts(checked, resolved))}"


def _parts(checked: CheckedFilter, resolved: dict[str, object]) -> Iterator[str]:
    rules = checked.content["syscalls"]
    names = {name for rule in rules for name in rule["names"]}
    yield f"by default {answers.default(resolved)}"
    yield f"{_count(len(rules), 'rule')} for {_count(len(names), 'call')}"
    yield _architectures(resolved)
    yield f"{CALL}: {_ptrace(checked)}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _architectures(resolved: dict[str, object]) -> str:
    named = resolved.get("architectures")
    listed = [str(one).removeprefix("SCMP_ARCH_").lower() for one in named] if isinstance(named, list) else []
    native = SeccompTarget.here().architecture
    return f"for {', '.join(dict.fromkeys([native, *listed]))}" + ("" if listed else " only")


def _ptrace(checked: CheckedFilter) -> str:
    """The answer without the capability and with it."""
    machine = SeccompTarget.here()
    without, with_it = (
        str(answers.answer(resolve(checked.content, granted, machine), CALL))
        for granted in (USUAL, (*USUAL, CAPABILITY))
    )
    return without if without == with_it else f"{without}; with {CAPABILITY.removeprefix('CAP_')}: {with_it}"
