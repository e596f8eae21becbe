"""A filter in the engines' format, resolved as an engine resolves it: what a runtime understands.

The engines' format has rules that hold for some capabilities, architectures or kernels only.  A runtime's, the OCI's,
has none of that: whoever hands the filter on says which rules hold.
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

DEFAULT = "default.json"  #: of `containers/seccomp`: what stands for an engine's default where there is no engine

#: Machines as the kernel calls them, to what the rules of a filter and its `archMap` call them.
ARCHITECTURES = {
    "x86_64": ("amd64", "SCMP_ARCH_X86_64"),
    "aarch64": ("arm64", "SCMP_ARCH_AARCH64"),
}
COPIED = ("defaultAction", "defaultErrnoRet", "architectures", "flags")  #: as they are
RULE = ("names", "action", "errnoRet", "args")


@dataclass(frozen=True, slots=True)
class SeccompTarget:
    """What a filter is resolved for."""

    architecture: str  #: as the kernel calls it: x86_64
    kernel: Numbers

    @classmethod
    def here(cls) -> SeccompTarget:
        """Return what is known of this one."""
        return cls(platform.machine(), minor(platform.release()))


def default() -> str:
    """Return the text of the engine's default."""
    return (folder("seccomp") / DEFAULT).read_text()


def digest(text: str) -> str:
    """Name a filter by what it says."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def resolve(text: str, capabilities: Collection[str], machine: SeccompTarget) -> dict[str, Any]:
    """Return the filter with those of its rules that hold.

    `capabilities` are those in the container's bounding set: ``CAP_KILL``.
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
        f"the filter knows nothing of {machine.architecture}", "name the architecture in the filter's `archMap`"
    )


def _holds(rule: Mapping[str, Any], capabilities: Collection[str], machine: SeccompTarget) -> bool:
    """Tell whether all that the rule includes is here, and nothing that it excludes."""
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
    said = {"names": [rule["name"]], **rule} if "name" in rule else dict(rule)
    said["args"] = [_without_zero(argument) for argument in rule.get("args") or ()]
    return {name: said[name] for name in RULE if said.get(name) not in (None, [])}


def _without_zero(argument: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out, as engines do, what is 0 if nobody says it."""
    return {name: value for name, value in argument.items() if name != "valueTwo" or value}
