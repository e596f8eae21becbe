"""A profile after a container of Docker or Podman, as `docker inspect` and `podman inspect` print it."""

from __future__ import annotations

from pathlib import Path

from worldswitch.harness.environments.deployments import engine_options as options
from worldswitch.harness.environments.deployments.document import Value
from worldswitch.harness.environments.deployments.draft import Draft, pick
from worldswitch.harness.environments.profiles.mounts import PROPAGATION

PODMAN_FILTER = "io.podman.annotations.seccomp"
#: Settings of HostConfig that have been read, or that confine nothing.
READ = (
    *("CapAdd", "CapDrop", "Privileged", "SecurityOpt", "PidMode", "IpcMode", "UTSMode", "UsernsMode", "CgroupnsMode"),
    *("ReadonlyRootfs", "Tmpfs", "Binds", "Mounts", "Devices", "Ulimits", "Memory", "MemorySwap", "PidsLimit"),
    *(
        "Sysctls",
        "Init",
        "GroupAdd",
        "ShmSize",
        "Annotations",
        "AutoRemove",
        "ContainerIDFile",
        "ConsoleSize",
        "Cgroups",
    ),
    *("LogConfig", "PortBindings", "RestartPolicy", "PublishAllPorts", "Dns", "DnsOptions", "DnsSearch", "ExtraHosts"),
    *("Links", "VolumeDriver", "MemorySwappiness", "MemoryReservation", "OomKillDisable", "OomScoreAdj", "Isolation"),
    *("BlkioWeight", "IOMaximumBandwidth", "IOMaximumIOps", "KernelMemory", "KernelMemoryTCP", "CgroupMode", "Cgroup"),
    *("MaskedPaths", "ReadonlyPaths", "CgroupManager", "CgroupConf", "IDMappings", "UTSMode", "CpuPercent", "CpuCount"),
)
REASONS = {
    "NetworkMode": "cells have no network",
    "NanoCpus": "a profile does not limit the time of CPUs",
    "CpuQuota": "a profile does not limit the time of CPUs",
    "CpusetCpus": "a profile does not choose CPUs",
    "Runtime": "the cell runs in this machine's own runtime and kernel",
    "CgroupParent": "the suite has a control group of its own",
    "DeviceRequests": "devices of a driver, such as GPUs",
}
USUAL_RUNTIMES = ("runc", "crun", "oci", "io.containerd.runc.v2")


def is_here(document: Value) -> bool:
    """True for the output of `inspect`."""
    content = document.content
    rows = content if isinstance(content, list) else [content]
    return bool(rows) and all(isinstance(one, dict) and isinstance(one.get("HostConfig"), dict) for one in rows)


def draft(document: Value, wanted: str, folder: Path) -> Draft:
    """Return the draft of a container.  Raises `DeploymentError`."""
    rows = document.rows() if isinstance(document.content, list) else [document]
    found = [(one["Name"].text(one["Id"].text("container")[:12]).lstrip("/"), one) for one in rows]
    label, container = pick(document.file, "container", found, wanted)
    made = Draft(f"container {label} of {document.file}", label, folder)
    _fill(made, container, container["HostConfig"])
    return made


def _fill(made: Draft, container: Value, host: Value) -> None:
    made.set(**options.USUAL)
    made.set(read_only=host["ReadonlyRootfs"].flag(), init=host["Init"].flag())
    if host["Privileged"].flag():
        made.set(privileged=True)
    _capabilities(made, container, host)
    _security(made, container, host)
    made.user(container["Config"]["User"], container["Config"]["User"].text())
    made.groups(host["GroupAdd"], host["GroupAdd"].texts())
    options.pid(made, host["PidMode"])
    modes = {"ipc": host["IpcMode"], "uts": host["UTSMode"], "cgroup": host["CgroupnsMode"] or host["CgroupMode"]}
    for kind, mode in modes.items():
        options.namespace(made, mode, kind)
    options.users(made, host["UsernsMode"])
    _limits(made, container, host)
    _files(made, container, host)
    usual = host["Runtime"].text("runc") in USUAL_RUNTIMES
    parents = ("CgroupParent",) if not host["CgroupParent"] or host["CgroupParent"].text().endswith(".slice") else ()
    network = ("NetworkMode",) if host["NetworkMode"].text("none") == "none" else ()
    zero = [name for name, one in host.members() if one.content == 0]
    made.lose_rest(host, (*READ, *(("Runtime",) if usual else ()), *parents, *network, *zero), REASONS, ())
    if image := container["Config"]["Image"]:
        made.lose("Config.Image", f"{image.text()}: the cell runs the suite's own image")


def _capabilities(made: Draft, container: Value, host: Value) -> None:
    """Podman lists the capabilities that the container has; its default differs from Docker's."""
    if container["BoundingCaps"]:
        made.exactly(container["BoundingCaps"].texts())
    else:
        made.capabilities(host["CapAdd"], host["CapDrop"])


def _security(made: Draft, container: Value, host: Value) -> None:
    for one in host["SecurityOpt"].rows():
        options.security(made, one, one.text())
    annotation = host["Annotations"][PODMAN_FILTER]
    if annotation and made.filter is None:
        options.security(made, annotation, f"seccomp={annotation.text()}")
    if "apparmor" not in made.fields:
        options.apparmor(made, container["AppArmorProfile"])
    hidden = host["MaskedPaths"]
    if hidden.content == [] and not host["Privileged"].flag():
        made.lose(hidden.field, "it hides no part of /proc; the cell hides some")


def _limits(made: Draft, container: Value, host: Value) -> None:
    made.memory(host["Memory"], host["Memory"].number())
    if not host["Memory"].number():
        made.lose("HostConfig.Memory", "there is no limit, and every cell has one: `limits.memory`, 1g by default")
    made.pids(host["PidsLimit"], host["PidsLimit"].number())
    for one in host["Ulimits"].rows():
        made.ulimit(one, one["Name"].text(), one["Soft"].number(), one["Hard"].number())
    for name, one in host["Sysctls"].members():
        made.sysctl(one, name, one.text())
    if (size := host["ShmSize"].number()) and size != 64 << 20 and host["IpcMode"].text() != "host":
        made.mount(host["ShmSize"], target="/dev/shm", options=[f"size={size}"])


def _files(made: Draft, container: Value, host: Value) -> None:
    for target, one in host["Tmpfs"].members():
        options.tmpfs(made, one, target, one.text())
    for mount in container["Mounts"].rows():
        _mount(made, mount)
    for mount in host["Mounts"].rows() if not container["Mounts"] else ():
        if mount["Type"].text() == "tmpfs":
            options.tmpfs(made, mount, mount["Target"].text(), "")
    for one in host["Devices"].rows():
        source, target = one["PathOnHost"].text(), one["PathInContainer"].text()
        if not host["Privileged"].flag():
            options.device(made, one, f"{source}:{target or source}:{one['CgroupPermissions'].text() or 'rwm'}")


def _mount(made: Draft, mount: Value) -> None:
    target, kind = mount["Destination"].text(), mount["Type"].text("bind")
    flags = [] if mount["RW"].flag(absent=True) else ["ro"]
    flags += [one.text() for one in mount["Options"].rows() if one.text() in ("noexec", "nosuid", "nodev")]
    match kind:
        case "bind":
            propagation = mount["Propagation"].text()
            flags += [propagation] if propagation in PROPAGATION and propagation != "rprivate" else []
            options.mount(made, mount, target, "bind", flags, mount["Source"].text())
        case "volume":
            options.new_volume(made, mount, target, flags, mount["Name"].text())
        case "tmpfs":
            options.tmpfs(made, mount, target, ",".join(flags))
        case _:
            made.lose(mount.field, f"a profile has no mount of type {kind}")
