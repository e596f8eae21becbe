"""Checks what a decoded filter means, and returns it in one form: `names`, numeric errnos, no empty fields."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TypeAlias

from worldswitch.harness.environments.filters import errno_meaning, rule_meaning, syscall_names
from worldswitch.harness.environments.filters import seccomp_values as values
from worldswitch.harness.environments.filters.findings import Place, check_word, nearest
from worldswitch.harness.environments.filters.go_types import present

Json: TypeAlias = dict[str, Any]

ERRNO = ("defaultAction", "defaultErrnoRet", "defaultErrno")  #: the fields
NOTIFY = "SCMP_ACT_NOTIFY"
MACHINE = os.uname().machine


def checked(decoded: Json, place: Place) -> Json:
    """Return the filter in one form; its findings are added to those of `place`."""
    rules = decoded.get("syscalls", [])
    if not decoded.get("defaultAction") and not rules:
        place.warning("no default action and no rules: engines run the container without a filter")
        return {"syscalls": []}
    check_word(decoded.get("defaultAction", ""), values.ACTIONS, "action", place.into("defaultAction"))
    _check_architectures(decoded, place)
    _check_flags(decoded.get("flags", []), place.into("flags"))
    _check_base(decoded, place)
    made = {name: decoded[name] for name in _COPIED if decoded.get(name)}
    answer = errno_meaning.answered(decoded, ERRNO, place)
    if answer is not None:
        made["defaultErrnoRet"] = answer
    made["syscalls"] = [
        rule_meaning.INVALID if rule is None else rule_meaning.checked(rule, place.into("syscalls").at(number))
        for number, rule in enumerate(rules)
    ]
    _check_listener(made, place)
    _check_unknown_names(made["syscalls"], place)
    return made


_COPIED = ("defaultAction", "architectures", "archMap", "flags", "listenerPath", "listenerMetadata")


# --------------------------------------------------------------------------------------------------- architectures


def _check_architectures(decoded: Json, place: Place) -> None:
    listed, mapped = decoded.get("architectures", []), decoded.get("archMap", [])
    if listed and mapped:
        place.into("archMap").error("engines refuse `archMap` beside `architectures`; remove one of the two")
    for number, name in present(listed):
        _check_architecture(name, place.into("architectures").at(number))
    native = values.MACHINES.get(MACHINE, ("", ""))[1]
    for number, one in present(mapped):
        _check_mapped(one, native, place.into("archMap").at(number))
    if mapped and native not in (one.get("architecture") for _, one in present(mapped)):
        place.into("archMap").warning(
            f"has no entry for {native or MACHINE}: on this machine the filter is for its own calls alone, and the "
            "kernel kills a process that makes others, such as 32-bit ones"
        )


def _check_architecture(name: str, place: Place) -> None:
    if not check_word(name, values.ARCHITECTURES, "architecture", place):
        return
    if name in values.OTHER_BYTE_ORDER:
        place.error(f"{name} has another byte order than this machine, and runtimes refuse to combine them")
    elif since := values.SINCE.get(name):
        place.warning(f"{name} is not known to every runtime: {since}")


def _check_mapped(entry: Json, native: str, place: Place) -> None:
    name = entry.get("architecture", "")
    if name not in values.ARCHITECTURES:
        place.into("architecture").warning(
            f"{name!r} is no architecture, and engines ignore the entry{nearest(name, values.ARCHITECTURES)}"
        )
    for number, sub in present(entry.get("subArchitectures", [])):
        where = place.into("subArchitectures").at(number)
        if name == native:
            _check_architecture(sub, where)
        elif sub not in values.ARCHITECTURES:
            where.warning(f"{sub!r} is no architecture{nearest(sub, values.ARCHITECTURES)}; {name} machines refuse it")


# ------------------------------------------------------------------------------------------------ the whole filter


def _check_flags(flags: list[str], place: Place) -> None:
    known = [check_word(flag, values.FLAGS, "flag", place.at(number)) for number, flag in present(flags)]
    if any(known):
        place.warning("not in force everywhere: Docker before 23 ignores flags, and runc before 1.2 refuses the filter")


def _check_base(decoded: Json, place: Place) -> None:
    if name := decoded.get("baseProfileName"):
        place.into("baseProfileName").error(
            f"the operator adds the rules of {name}, which are not here; check the filter that it wrote on the node, "
            "in /var/lib/kubelet/seccomp/operator"
        )


def _check_listener(made: Json, place: Place) -> None:
    """A notifying rule needs an agent, and the runtime must be able to pass the listener to it."""
    if made.get("defaultAction") == NOTIFY:
        place.into("defaultAction").error(
            f"runtimes refuse {NOTIFY} as the default: they could not start the container"
        )
    notifying = [(number, rule) for number, rule in enumerate(made["syscalls"]) if rule.get("action") == NOTIFY]
    for number, rule in notifying:
        where = place.into("syscalls").at(number)
        tell = where.warning if _is_conditional(rule) else where.error
        if "write" in rule["names"]:
            tell(f"runc refuses {NOTIFY} for write, which passes the listener to the agent")
        if rule["names"] and not made.get("listenerPath"):
            tell(f"runtimes refuse {NOTIFY} without `listenerPath`, the socket of the agent that answers")
    if path := made.get("listenerPath"):
        place.into("listenerPath").warning(
            f"a seccomp agent must listen at {path} when the container starts, and worldswitch starts none"
            if notifying
            else f"no rule notifies: runc ignores it, and crun refuses to start unless a socket is at {path}"
        )


def _is_conditional(rule: Mapping[str, Any]) -> bool:
    return bool(rule.get("includes") or rule.get("excludes"))


def _check_unknown_names(rules: list[Json], place: Place) -> None:
    """Tell once which names this machine's libseccomp is too old for."""
    library = syscall_names.libseccomp()
    if not library:
        return
    named = {name for rule in rules for name in rule["names"] if name in syscall_names.known()}
    if unknown := sorted(name for name in named if not library.knows(name)):
        place.into("syscalls").note(
            f"unknown to this machine's libseccomp {library.version}, which gives them the default action: "
            + " ".join(unknown)
        )
