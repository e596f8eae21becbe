"""A profile after a runtime's `config.json`, as containerd, CRI-O and engines write it."""

from __future__ import annotations

from pathlib import Path

from worldswitch.harness.environments.deployments import engine_options as options
from worldswitch.harness.environments.deployments.document import Value
from worldswitch.harness.environments.deployments.draft import Draft
from worldswitch.harness.environments.profiles.mounts import OPPOSITE, TMPFS

#: Targets of mounts that every container has, of the engine's files, and of what hides behind the suite's own image.
USUAL_MOUNTS = (
    *("/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue", "/etc/hosts", "/etc/hostname"),
    *("/etc/resolv.conf", "/run/.containerenv", "/run/secrets", "/dev/console", "/dev/termination-log"),
)
INITS = ("docker-init", "tini", "catatonit", "podman-init")
NAMESPACES = ("ipc", "uts")
LINUX_READ = (
    *("uidMappings", "gidMappings", "sysctl", "resources", "cgroupsPath", "namespaces", "devices", "seccomp"),
    *("maskedPaths", "readonlyPaths", "mountLabel", "rootfsPropagation"),
)
PROCESS_READ = (
    *("capabilities", "noNewPrivileges", "user", "rlimits", "apparmorProfile", "selinuxLabel", "oomScoreAdj"),
)
PROCESS_OF_THE_IMAGE = ("args", "env", "cwd", "terminal", "consoleSize")
READ = ("ociVersion", "process", "root", "mounts", "linux", "annotations", "hostname", "domainname")
RESOURCES = {
    "cpu": "a profile does not limit the time of CPUs",
    "blockIO": "a profile does not limit devices' bandwidth",
}


def is_here(document: Value) -> bool:
    """True for a runtime's configuration."""
    content = document.content
    return isinstance(content, dict) and ("ociVersion" in content or {"process", "root"} <= content.keys())


def draft(document: Value, folder: Path) -> Draft:
    """Return the draft of a configuration.  Raises `DeploymentError`."""
    name = document["hostname"].text(folder.absolute().name or "container")
    made = Draft(f"the container of {document.file}", name, folder)
    process, linux = document["process"], document["linux"]
    made.set(no_new_privileges=process["noNewPrivileges"].flag(), read_only=document["root"]["readonly"].flag())
    first = process["args"].texts()[:1]
    made.set(init=bool(first) and Path(first[0]).name in INITS)
    made.exactly(process["capabilities"]["bounding"].texts())
    _identity(made, process)
    _filter(made, linux["seccomp"])
    _namespaces(made, linux)
    _resources(made, linux)
    for mount in document["mounts"].rows():
        _mount(made, mount)
    if _is_privileged(made, linux):
        made.set(privileged=True)
    elif not linux["maskedPaths"]:
        made.lose("linux.maskedPaths", "it hides no part of /proc; the cell hides some")
    made.lose_rest(process, PROCESS_READ, {}, PROCESS_OF_THE_IMAGE)
    made.lose_rest(linux, LINUX_READ, {"intelRdt": "a profile does not limit caches"}, ())
    made.lose_rest(document, READ, {"hooks": "programs that the runtime runs outside of the container"}, ())
    return made


def _identity(made: Draft, process: Value) -> None:
    user = process["user"]
    made.set(user=f"{user['uid'].number()}:{user['gid'].number()}")
    others = [one for one in user["additionalGids"].rows() if one.number() != user["gid"].number()]
    made.groups(user["additionalGids"], [str(one.number()) for one in others])
    options.apparmor(made, process["apparmorProfile"])
    label = dict(zip(("user", "role", "type", "level"), process["selinuxLabel"].text().split(":", 3), strict=False))
    if label.get("type") == "container_t":
        made.lose(process["selinuxLabel"].field, "the usual type container_t; name it in `selinux` to require it")
    else:
        made.selinux(label)
    for one in process["rlimits"].rows():
        made.ulimit(one, one["type"].text(), *(_limit(one[kind]) for kind in ("soft", "hard")))


def _limit(value: Value) -> int:
    return number if (number := value.number()) < 1 << 63 else -1


def _filter(made: Draft, filter_: Value) -> None:
    if not filter_:
        made.set(seccomp="unconfined")
        return
    outside = ("listenerPath", "listenerMetadata")
    made.take_filter(filter_, {name: one.content for name, one in filter_.members() if name not in outside})
    for name in outside:
        if filter_[name]:
            made.lose(filter_[name].field, "the program that answers for the filter is not the cell's")


def _namespaces(made: Draft, linux: Value) -> None:
    own = {one["type"].text(): one["path"].text() for one in linux["namespaces"].rows()}
    if "pid" not in own:
        made.set(namespaces={"pid": "host"})
    elif own["pid"]:
        made.set(namespaces={"pid": "shared"})
    made.set(namespaces={kind: "host" for kind in NAMESPACES if kind not in own})
    if "cgroup" in own:
        made.set(namespaces={"cgroup": "private"})
    if "user" in own:
        made.set(namespaces={"user": "mapped"})
    if not made.fields["namespaces"]:
        del made.fields["namespaces"]
    if "network" not in own:
        made.lose("linux.namespaces", "it has the machine's network; cells have no network")


def _resources(made: Draft, linux: Value) -> None:
    resources = linux["resources"]
    made.memory(resources["memory"]["limit"], resources["memory"]["limit"].number())
    if resources["memory"]["limit"].number() <= 0:
        made.lose("linux.resources.memory", "there is no limit, and every cell has one: `limits.memory`, 1g by default")
    made.pids(resources["pids"]["limit"], resources["pids"]["limit"].number())
    for name, one in linux["sysctl"].members():
        if name not in ("net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range"):
            made.sysctl(one, name, one.text())
    for one in () if _is_privileged(made, linux) else linux["devices"].rows():
        made.lose(
            one.field, f"{one['path'].text()}: the file on the machine that it stands for is unknown; see `devices`"
        )
    if not _is_privileged(made, linux) and any(map(_is_everything, resources["devices"].rows())):
        made.lose("linux.resources.devices", "every device is allowed; a profile allows its own `devices`")
    used = ("memory", "pids", "devices", "unified")
    made.lose_rest(resources, (*used, *_unlimited(resources)), RESOURCES, ())


def _is_privileged(made: Draft, linux: Value) -> bool:
    """True for the configuration of a privileged container, which has no field of its own for that."""
    everything = any(map(_is_everything, linux["resources"]["devices"].rows()))
    hides = linux["maskedPaths"] or linux["readonlyPaths"] or linux["seccomp"]
    return everything and not hides and made.fields["capabilities"] == "all"


def _is_everything(rule: Value) -> bool:
    return rule["allow"].flag() and not rule["major"] and not rule["type"].text().strip("a")


def _unlimited(resources: Value) -> list[str]:
    """Return the tables whose numbers are all 0, which means no limit."""
    return [
        name for name, one in resources.members() if isinstance(one.content, dict) and not any(one.content.values())
    ]


def _mount(made: Draft, mount: Value) -> None:
    target, kind = mount["destination"].text(), mount["type"].text("bind")
    flags = mount["options"].texts() if mount["options"] else []
    init = Path(target).name in INITS
    if target in USUAL_MOUNTS or init or (target == "/dev/shm" and "size=65536k" in flags):
        return
    if kind == "tmpfs":
        kept = [one for one in flags if one not in ("strictatime", "noatime")]
        missing = [OPPOSITE[flag] for flag in TMPFS if flag not in kept and OPPOSITE[flag] not in kept]
        options.mount(made, mount, target, "tmpfs", [*kept, *missing])
    elif kind in ("bind", "none") or {"bind", "rbind"} & {*flags}:
        options.mount(made, mount, target, "bind", flags, options.host_path(made, mount["source"].text()))
    else:
        made.lose(mount.field, f"{target}: a profile has no mount of type {kind}")
