"""The formats of filters: the engines', the OCI runtimes', and that of Kubernetes' security profiles operator."""

from __future__ import annotations

from typing import Any

from worldswitch.harness.environments.filters.findings import Place
from worldswitch.harness.environments.filters.go_types import (
    Decoder,
    kernel_version,
    list_of,
    number,
    present,
    struct,
    text,
)

_ARGUMENT = struct({"index": number, "value": number, "valueTwo": number, "op": text})
_CONDITION = struct({"caps": list_of(text), "arches": list_of(text), "minKernel": kernel_version})
_ARCHITECTURE = struct({"architecture": text, "subArchitectures": list_of(text)})

_OCI_RULE: dict[str, Decoder] = {
    "names": list_of(text),
    "action": text,
    "errnoRet": number,
    "args": list_of(_ARGUMENT),
}
_ENGINE_RULE = {
    **_OCI_RULE,
    "name": text,
    "errno": text,
    "comment": text,
    "includes": _CONDITION,
    "excludes": _CONDITION,
}
_COMMON: dict[str, Decoder] = {
    "defaultAction": text,
    "defaultErrnoRet": number,
    "architectures": list_of(text),
    "flags": list_of(text),
    "listenerPath": text,
    "listenerMetadata": text,
}

_NO_CONDITION = "runtimes ignore conditions: in this format the rule always applies"
_RULE_IGNORED = {
    "includes": _NO_CONDITION,
    "excludes": _NO_CONDITION,
    "name": "runtimes ignore it; use `names`",
    "errno": "runtimes ignore it; use `errnoRet`",
}
_IGNORED = {
    "archMap": "runtimes ignore it; use `architectures`",
    "defaultErrno": "runtimes ignore it; use `defaultErrnoRet`",
}

#: Docker's and Podman's: rules may have conditions.
ENGINE = struct(
    {
        **_COMMON,
        "defaultErrno": text,
        "archMap": list_of(_ARCHITECTURE),
        "syscalls": list_of(struct(_ENGINE_RULE)),
    }
)


def node(value: Any, place: Place) -> Any:
    """Decode a filter that a kubelet passes on: containerd reads the OCI runtimes' fields only, CRI-O the engines'."""
    decoded = ENGINE(value, place)
    for name in sorted(_IGNORED.keys() & (decoded or {}).keys()):
        place.into(name).warning(_NODE)
    for index, rule in present((decoded or {}).get("syscalls", [])):
        for name in sorted(name for name in _RULE_IGNORED if rule.get(name)):
            place.into("syscalls").at(index).into(name).warning(_NODE)
    return decoded


_NODE = "containerd ignores it, and CRI-O does not"
#: `linux.seccomp` of a `config.json`.
OCI = struct({**_COMMON, "syscalls": list_of(struct(_OCI_RULE, _RULE_IGNORED))}, _IGNORED)
#: `spec` of a `SeccompProfile`.
OPERATOR = struct(
    {**_COMMON, "baseProfileName": text, "syscalls": list_of(struct(_OCI_RULE, _RULE_IGNORED))},
    {**_IGNORED, "disabled": "the operator reads it; here the filter is in force"},
)
