"""Checks what a rule means, and returns it in one form: `names`, a numeric errno, no empty fields."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from worldswitch.harness.environments.filters import errno_meaning, syscall_names
from worldswitch.harness.environments.filters import seccomp_values as values
from worldswitch.harness.environments.filters.findings import Place, check_word, nearest
from worldswitch.harness.environments.filters.go_types import present
from worldswitch.harness.linux import capabilities

Json: TypeAlias = dict[str, Any]

INVALID: Json = {"names": [], "action": ""}  #: in the place of a rule with a wrong type
ERRNO = ("action", "errnoRet", "errno")  #: the fields


def checked(rule: Json, place: Place) -> Json:
    """Return the rule in one form; its findings are added to those of `place`."""
    check_word(rule.get("action", ""), values.ACTIONS, "action", place.into("action"))
    made: Json = {"names": list(_names(rule, place)), "action": rule.get("action", "")}
    answer = errno_meaning.answered(rule, ERRNO, place)
    if answer is not None:
        made["errnoRet"] = answer
    if arguments := rule.get("args"):
        made["args"] = [_argument(one, place.into("args").at(number)) for number, one in present(arguments)]
        _check_shared_index(made["args"], place.into("args"))
    for condition in ("includes", "excludes"):
        _check_condition(rule.get(condition, {}), place.into(condition), included=condition == "includes")
    return made | {name: rule[name] for name in ("comment", "includes", "excludes") if rule.get(name)}


def _names(rule: Json, place: Place) -> Iterator[str]:
    names, name = rule.get("names", []), rule.get("name", "")
    if names and name:
        place.into("name").error("engines refuse `name` beside `names`; remove one of the two")
    if not (names or name) and not place.has_error_below("name"):
        place.warning("names no system call, and has no effect")
    for number, one in present(names or ([name] if name else [])):
        where = place.into("names").at(number) if names else place.into("name")
        _check_name(one, where)
        yield one


def _check_name(name: str, place: Place) -> None:
    if not name:
        place.error("is empty, and runtimes refuse it")
    elif name not in syscall_names.known() and not _is_new(name):
        place.warning(
            f"{name!r} is no system call, and runtimes drop it silently{nearest(name, syscall_names.known())}"
        )


def _is_new(name: str) -> bool:
    """True if the call is newer than the table of names."""
    library = syscall_names.libseccomp()
    return library is not None and library.knows(name)


def _argument(argument: Json, place: Place) -> Json:
    index, operator = argument.get("index", 0), argument.get("op", "")
    if index > 5:
        place.into("index").error(f"{index} is too large: a system call has the arguments 0 to 5")
    check_word(operator, values.OPERATORS, "operator", place.into("op"))
    value, second = argument.get("value", 0), argument.get("valueTwo", 0)
    if operator == "SCMP_CMP_MASKED_EQ" and second & ~value:
        place.warning(f"never true: `valueTwo` {second:#x} has bits outside the mask, `value` {value:#x}")
    return {"index": index, "value": value, **({"valueTwo": second} if second else {}), "op": operator}


def _check_shared_index(arguments: list[Json], place: Place) -> None:
    indices = [one["index"] for one in arguments]
    if len(set(indices)) < len(indices):
        place.warning("two conditions on one argument: runtimes make each a rule of its own, so that either suffices")


def _check_condition(condition: Json, place: Place, *, included: bool) -> None:
    effect = "the rule never applies" if included else "it excludes nothing"
    for number, name in present(condition.get("caps", [])):
        if name not in capabilities.EVERY:
            near = nearest(name, capabilities.EVERY)
            place.into("caps").at(number).warning(f"{name!r} is no capability, so {effect}{near}")
    for number, name in present(condition.get("arches", [])):
        if name not in values.CONDITION_ARCHES:
            place.into("arches").at(number).warning(f"{name!r} is no architecture, so {effect}{_arch(name)}")


def _arch(name: str) -> str:
    known = {kernel: arch for kernel, (arch, _) in values.MACHINES.items()}
    known |= {libseccomp: arch for arch, libseccomp in values.MACHINES.values()}
    return f"; did you mean {known[name]}?" if name in known else nearest(name, values.CONDITION_ARCHES)
