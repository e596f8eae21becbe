"""A profile after a service of a compose file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from worldswitch.harness.environments.deployments import engine_options as options
from worldswitch.harness.environments.deployments.document import Value
from worldswitch.harness.environments.deployments.draft import Draft, pick

READ = (
    *("cap_add", "cap_drop", "privileged", "security_opt", "pid", "ipc", "uts", "userns_mode", "cgroup", "tmpfs"),
    *("volumes", "devices", "ulimits", "read_only", "mem_limit", "memswap_limit", "pids_limit", "sysctls", "init"),
    *("user", "group_add", "shm_size", "deploy", "mem_reservation", "mem_swappiness"),
)
OF_THE_IMAGE = (
    *(
        "image",
        "build",
        "command",
        "entrypoint",
        "environment",
        "env_file",
        "ports",
        "expose",
        "working_dir",
        "profiles",
    ),
    *(
        "container_name",
        "hostname",
        "domainname",
        "depends_on",
        "healthcheck",
        "labels",
        "logging",
        "networks",
        "links",
    ),
    *(
        "restart",
        "stdin_open",
        "tty",
        "stop_signal",
        "stop_grace_period",
        "pull_policy",
        "platform",
        "dns",
        "dns_search",
    ),
    *(
        "extra_hosts",
        "external_links",
        "annotations",
        "scale",
        "attach",
        "develop",
        "secrets",
        "configs",
        "mac_address",
    ),
)
REASONS = {
    "network_mode": "cells have no network",
    "runtime": "the cell runs in this machine's own runtime and kernel",
    "cpus": "a profile does not limit the time of CPUs",
    "cpuset": "a profile does not choose CPUs",
    "cgroup_parent": "the suite has a control group of its own",
}


def draft(document: Value, wanted: str, folder: Path) -> Draft:
    """Return the draft of a service.  Raises `DeploymentError`."""
    label, service = pick(document.file, "service", list(document["services"].members()), wanted)
    if service["extends"]:
        raise service["extends"].wrong("is of another file; `docker compose config` prints the whole service")
    made = Draft(f"service {label} of {document.file}", label, folder)
    made.set(**options.USUAL)
    made.set(read_only=service["read_only"].flag(), init=service["init"].flag())
    if service["privileged"].flag():
        made.set(privileged=True)
    made.capabilities(service["cap_add"], service["cap_drop"])
    for one in service["security_opt"].rows():
        options.security(made, one, one.text())
    made.user(service["user"], service["user"].text())
    made.groups(service["group_add"], service["group_add"].texts())
    _namespaces(made, service)
    _limits(made, service)
    _files(made, service)
    network = ("network_mode",) if service["network_mode"].text("bridge") == "none" else ()
    made.lose_rest(service, (*READ, *network), REASONS, OF_THE_IMAGE)
    return made


def _namespaces(made: Draft, service: Value) -> None:
    options.pid(made, service["pid"])
    for kind in ("ipc", "uts", "cgroup"):
        options.namespace(made, service[kind], kind)
    options.users(made, service["userns_mode"])
    for value, name, setting in _pairs(service["sysctls"]):
        made.sysctl(value, name, setting)


def _pairs(value: Value) -> Iterator[tuple[Value, str, str]]:
    """Yield the pairs of a table, or of a list of ``NAME=VALUE``."""
    if isinstance(value.content, list):
        for one in value.rows():
            name, _, setting = one.text().partition("=")
            yield one, name, setting
    else:
        yield from ((one, name, one.text()) for name, one in value.members())


def _limits(made: Draft, service: Value) -> None:
    limits = service["deploy"]["resources"]["limits"]
    memory = service["mem_limit"] if service["mem_limit"] else limits["memory"]
    if memory:
        if not (size := options.bytes_of(memory.text())):
            raise memory.wrong(f"{memory.text()!r} is no size such as 512m")
        made.memory(memory, size)
    else:
        made.lose("mem_limit", "there is none, and every cell has a limit: `limits.memory`, 1g by default")
    pids = service["pids_limit"] if service["pids_limit"] else limits["pids"]
    made.pids(pids, pids.number())
    made.lose_rest(limits, ("memory", "pids"), REASONS, ())
    for name, one in service["ulimits"].members():
        whole = isinstance(one.content, dict)
        soft, hard = (one["soft"].number(), one["hard"].number()) if whole else (one.number(), one.number())
        made.ulimit(one, name, soft, hard)
    if service["shm_size"]:
        size = options.bytes_of(service["shm_size"].text())
        made.mount(service["shm_size"], target="/dev/shm", options=[f"size={size}"])


def _files(made: Draft, service: Value) -> None:
    tmpfs = service["tmpfs"]
    for one in tmpfs.rows() if isinstance(tmpfs.content, list) else [tmpfs] * bool(tmpfs):
        target, _, flags = one.text().partition(":")
        options.tmpfs(made, one, target, flags)
    for one in service["volumes"].rows():
        if isinstance(one.content, dict):
            _long_volume(made, one)
        else:
            options.volume(made, one, one.text())
    for one in service["devices"].rows():
        if isinstance(one.content, dict):
            source, target = one["source"].text(), one["target"].text()
            options.device(made, one, f"{source}:{target or source}:{one['permissions'].text('rwm')}")
        else:
            options.device(made, one, one.text())


def _long_volume(made: Draft, one: Value) -> None:
    kind, target, source = one["type"].text("volume"), one["target"].text(), one["source"].text()
    flags = ["ro"] if one["read_only"].flag() else []
    match kind:
        case "bind":
            flags += [one["bind"]["propagation"].text()] if one["bind"]["propagation"] else []
            options.mount(made, one, target, "bind", flags, options.host_path(made, source))
        case "volume":
            options.new_volume(made, one, target, flags, source)
        case "tmpfs":
            flags += [f"size={one['tmpfs']['size'].text()}"] if one["tmpfs"]["size"] else []
            flags += [f"mode={one['tmpfs']['mode'].number():o}"] if one["tmpfs"]["mode"] else []
            options.tmpfs(made, one, target, ",".join(flags))
        case _:
            made.lose(one.field, f"a profile has no mount of type {kind}")
