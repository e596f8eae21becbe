"""The formats of filters: the engines', the OCI runtimes', and that of Kubernetes' security profiles operator."""

from __future__ import annotations

from worldswitch.harness.environments.filters.go_types import Decoder, kernel_version, list_of, number, struct, text

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
#: `linux.seccomp` of a `config.json`.
OCI = struct({**_COMMON, "syscalls": list_of(struct(_OCI_RULE, _RULE_IGNORED))}, _IGNORED)
#: `spec` of a `SeccompProfile`.
OPERATOR = struct(
    {**_COMMON, "baseProfileName": text, "syscalls": list_of(struct(_OCI_RULE, _RULE_IGNORED))},
    {**_IGNORED, "disabled": "the operator reads it; here the filter is in force"},
)
