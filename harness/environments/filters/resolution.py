"""Selects the rules of a filter that apply in a container, as an engine does before it calls the runtime.

A rule in the engines' format may be conditional on capabilities, architecture and kernel.  The OCI format has no
conditions.
"""

from __future__ import annotations

import platform
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from worldswitch.harness.environments.filters.seccomp_values import MACHINES
from worldswitch.harness.linux.release import Numbers, minor

Json: TypeAlias = dict[str, Any]

_COPIED = ("defaultAction", "defaultErrnoRet", "architectures", "flags", "listenerPath", "listenerMetadata")
_RULE = ("names", "action", "errnoRet", "args")


@dataclass(frozen=True, slots=True)
class SeccompTarget:
    """The machine that a filter is resolved for."""

    architecture: str  #: the kernel's name: x86_64
    kernel: Numbers

    @classmethod
    def here(cls) -> SeccompTarget:
        """Return the machine that this process runs on."""
        return cls(platform.machine(), minor(platform.release()))


def resolve(content: Mapping[str, Any], capabilities: Collection[str], machine: SeccompTarget) -> Json:
    """Return the checked filter in the OCI format; empty if it has no default action, as engines then use no filter.

    `capabilities` is the container's bounding set, by names such as ``CAP_KILL``.
    """
    if not content.get("defaultAction"):
        return {}
    resolved = {name: content[name] for name in _COPIED if content.get(name) not in (None, [])}
    if architectures := _mapped(content.get("archMap", ()), machine):
        resolved["architectures"] = architectures
    rules = [_plain(rule) for rule in content["syscalls"] if _holds(rule, capabilities, machine)]
    return {**resolved, "syscalls": rules}


def _mapped(known: Collection[Mapping[str, Any]], machine: SeccompTarget) -> list[str]:
    """The architectures of the machine's entry; none without an entry: then the runtime uses the machine's own."""
    wanted = MACHINES.get(machine.architecture, ("", ""))[1]
    for one in known:
        if wanted and one.get("architecture") == wanted:
            return [wanted, *one.get("subArchitectures", ())]
    return []


def _holds(rule: Mapping[str, Any], capabilities: Collection[str], machine: SeccompTarget) -> bool:
    """True if all conditions in `includes` hold and none in `excludes` does."""
    includes, excludes = rule.get("includes", {}), rule.get("excludes", {})
    name = MACHINES.get(machine.architecture, (machine.architecture,))[0]
    return (
        all(one in capabilities for one in includes.get("caps", ()))
        and not any(one in capabilities for one in excludes.get("caps", ()))
        and (not includes.get("arches") or name in includes["arches"])
        and name not in excludes.get("arches", ())
        and _is_from(machine.kernel, includes.get("minKernel"), unsaid=True)
        and not _is_from(machine.kernel, excludes.get("minKernel"), unsaid=False)
    )


def _is_from(kernel: Numbers, least: str | None, *, unsaid: bool) -> bool:
    return unsaid if least is None else kernel >= minor(least)


def _plain(rule: Mapping[str, Any]) -> Json:
    return {name: rule[name] for name in _RULE if rule.get(name) not in (None, [])}
