"""Resolve a seccomp filter in the engines' format into the OCI's, as an engine does.

A rule in the engines' format may be conditional on capabilities, architecture and kernel.  The OCI format has no
conditions, so the engine selects the rules that apply before it calls the runtime.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from worldswitch.harness.environments.profiles.containers_data import folder
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.linux.release import Numbers, minor

DEFAULT = "default.json"  #: in `containers/seccomp`: the default of engines, for use without one

#: The kernel's name of a machine, and its names in a filter's rules and in `archMap`.
ARCHITECTURES = {
    "x86_64": ("amd64", "SCMP_ARCH_X86_64"),
    "aarch64": ("arm64", "SCMP_ARCH_AARCH64"),
}
COPIED = ("defaultAction", "defaultErrnoRet", "architectures", "flags")  #: copied unchanged
RULE = ("names", "action", "errnoRet", "args")


@dataclass(frozen=True, slots=True)
class SeccompTarget:
    """The machine that a filter is resolved for."""

    architecture: str  #: the kernel's name: x86_64
    kernel: Numbers

    @classmethod
    def here(cls) -> SeccompTarget:
        """Return the machine that this process runs on."""
        return cls(platform.machine(), minor(platform.release()))


def default() -> str:
    """Return the text of the engines' default filter."""
    return (folder("seccomp") / DEFAULT).read_text()


def digest(text: str) -> str:
    """Return a digest of a filter's text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def resolve(text: str, capabilities: Collection[str], machine: SeccompTarget) -> dict[str, Any]:
    """Return the filter with the rules that apply.

    `capabilities` is the container's bounding set, by names such as ``CAP_KILL``.  Raises `Unobtainable` if the filter
    does not support the architecture.
    """
    content = json.loads(text)
    resolved = {name: content[name] for name in COPIED if content.get(name)}
    if "archMap" in content:
        resolved["architectures"] = _architectures(content["archMap"], machine)
    rules = [_plain(rule) for rule in content["syscalls"] if _holds(rule, capabilities, machine)]
    return {**resolved, "syscalls": rules}


def _architectures(known: Collection[Mapping[str, Any]], machine: SeccompTarget) -> list[str]:
    wanted = ARCHITECTURES.get(machine.architecture, ("", ""))[1]
    for one in known:
        if one["architecture"] == wanted:
            return [wanted, *(one.get("subArchitectures") or ())]
    raise Unobtainable(
        f"the filter does not support {machine.architecture}", "add the architecture to the filter's `archMap`"
    )


def _holds(rule: Mapping[str, Any], capabilities: Collection[str], machine: SeccompTarget) -> bool:
    """True if all conditions in `includes` hold and none in `excludes` does."""
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    name = ARCHITECTURES.get(machine.architecture, (machine.architecture,))[0]
    return (
        all(one in capabilities for one in includes.get("caps") or ())
        and not any(one in capabilities for one in excludes.get("caps") or ())
        and (not includes.get("arches") or name in includes["arches"])
        and name not in (excludes.get("arches") or ())
        and _is_from(machine.kernel, includes.get("minKernel"), unsaid=True)
        and not _is_from(machine.kernel, excludes.get("minKernel"), unsaid=False)
    )


def _is_from(kernel: Numbers, least: str | None, *, unsaid: bool) -> bool:
    return kernel >= minor(least) if least else unsaid


def _plain(rule: Mapping[str, Any]) -> dict[str, Any]:
    copied = {"names": [rule["name"]], **rule} if "name" in rule else dict(rule)
    copied["args"] = [_without_zero(argument) for argument in rule.get("args") or ()]
    return {name: copied[name] for name in RULE if copied.get(name) not in (None, [])}


def _without_zero(argument: Mapping[str, Any]) -> dict[str, Any]:
    """Omit a `valueTwo` of 0, the default, as engines do."""
    return {name: value for name, value in argument.items() if name != "valueTwo" or value}
