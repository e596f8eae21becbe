"""The OCI specification (`config.json`) of a container, equivalent to the engine's for the same profile.

Every container has the same confinement in addition to its profile: no network, and, unless the profile says
otherwise, a read-only root, bounded /tmp and /dev/shm, no core files.  The machine that runs the container adds what
only it knows (`worldswitch.harness.linux.bundles`).  `tests/system/test_oci_parity.py` compares it with the
specification of a real engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, TypeAlias

from worldswitch.harness.environments.oci import capabilities, seccomp
from worldswitch.harness.environments.oci.seccomp import SeccompTarget
from worldswitch.harness.environments.profiles import devices
from worldswitch.harness.environments.profiles.mounts import PROPAGATION, STANDARD
from worldswitch.harness.environments.profiles.profile import Profile
from worldswitch.harness.linux.bundles import DEVICE, VOLUME

Json: TypeAlias = dict[str, Any]

VERSION = "1.0.2"
INIT = "/sbin/docker-init"  #: path of the init, in engines and in a tree
NO_LIMIT = 1 << 64  #: -1, no limit, as an unsigned number
SWAPLESS = ("limit", "swap")  #: `swap` counts memory plus swap

MASKED = (
    *("/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list"),
    *("/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"),
)
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

#: Devices by number: full, null, urandom, random, tty, console; fuse is denied, as by engines.
DEVICES = ((1, 5, True), (1, 3, True), (1, 9, True), (1, 8, True), (5, 0, True), (5, 1, True), (10, 229, False))

#: Destination, type, source, options; in mount order.
MOUNTS = (
    ("/proc", "proc", "proc", "nosuid noexec nodev"),
    ("/dev", "tmpfs", "tmpfs", "nosuid strictatime mode=755 size=65536k"),
    ("/dev/pts", "devpts", "devpts", "nosuid noexec newinstance ptmxmode=0666 mode=0620 gid=5"),
    ("/sys", "sysfs", "sysfs", "nosuid noexec nodev ro"),
    ("/sys/fs/cgroup", "cgroup", "cgroup", "ro nosuid noexec nodev"),
    ("/dev/mqueue", "mqueue", "mqueue", "nosuid noexec nodev"),
    ("/dev/shm", "tmpfs", "shm", " ".join(STANDARD["/dev/shm"])),
    ("/tmp", "tmpfs", "tmpfs", " ".join(("rprivate", *STANDARD["/tmp"]))),
)

#: Settings of the network namespace that engines relax for unprivileged processes.
PORTS = {"net.ipv4.ip_unprivileged_port_start": "0"}
PING = {"net.ipv4.ping_group_range": "0 2147483647"}
#: The unprivileged user, and the ids that a container's ids are mapped to: high ones, which are rarely in use.
NOBODY, FIRST_MAPPED, MAPPED = 65534, 2_000_000_000, 65536
TERMINALS = "gid=5"  #: the group that owns terminals


@dataclass(frozen=True, slots=True)
class IdMapping:
    """A range of a user namespace: `count` ids from `inside` are those from `outside` on outside of it."""

    inside: int
    outside: int
    count: int


@dataclass(frozen=True, slots=True)
class ContainerContext:
    """The parameters of a container that its profile does not set; paths are those of the machine that runs it."""

    id: str  #: its name and host name
    root: PurePath  #: the image's files
    environment: Sequence[str]  #: the image's, ``NAME=value``
    folder: str  #: working directory of its first process
    machine: SeccompTarget
    cgroup: str = ""  #: absolute path of its control group in each hierarchy; empty for none
    own_cgroups: bool = False  #: True for a cgroup namespace, as engines make with cgroup v2
    pid: int = 0  #: a process whose PID namespace it shares, if the profile says so
    users: Sequence[IdMapping] = ()  #: mapping of its users; empty without a user namespace
    groups: Sequence[IdMapping] = ()
    rootless: bool = False  #: True if made by an ordinary user, without supplementary groups


def specification(profile: Profile, command: Sequence[str], found: ContainerContext) -> Json:
    """Return the `config.json` of a container that runs a command of the image under a profile."""
    return {
        "ociVersion": VERSION,
        "process": _process(profile, command, found),
        "root": {"path": str(found.root), "readonly": profile.read_only},
        **({"hostname": found.id} if profile.namespaces.uts == "private" else {}),
        "mounts": [*_standard_mounts(profile, found), *_own_mounts(profile)],
        "linux": _linux(profile, found),
    }


def _process(profile: Profile, command: Sequence[str], found: ContainerContext) -> Json:
    user, group = map(int, profile.user.split(":"))
    granted = capabilities.granted(profile.capabilities)
    return {
        "user": {"uid": user, "gid": group, **({} if found.rootless else {"additionalGids": [group, *profile.groups]})},
        "args": [*((INIT, "--") if profile.init else ()), *command],
        "env": [*found.environment, f"HOSTNAME={found.id}"],
        "cwd": found.folder,
        "capabilities": capabilities.sets(granted, root=user == 0),
        "rlimits": [
            {"type": f"RLIMIT_{name.upper()}", "hard": hard % NO_LIMIT, "soft": soft % NO_LIMIT}
            for name, soft, hard in profile.ulimits.all()
        ],
        "noNewPrivileges": profile.no_new_privileges,
        "oomScoreAdj": 0,
        **({"apparmorProfile": profile.apparmor} if profile.apparmor not in ("", "unconfined") else {}),
        **({"selinuxLabel": _selinux(profile)} if profile.selinux not in ((), ("disable",)) else {}),
    }


def _selinux(profile: Profile) -> str:
    """Return the label of containers in the usual policy, with the profile's parts."""
    parts = {"user": "system_u", "role": "system_r", "type": "container_t", "level": "s0"}
    return ":".join((parts | dict(option.split(":", 1) for option in profile.selinux)).values())


def _standard_mounts(profile: Profile, found: ContainerContext) -> Iterator[Json]:
    """Yield the mounts of every container that the profile does not replace."""
    own = [mount.target for mount in profile.mounts]
    for where, kind, source, options in MOUNTS:
        if where == "/dev/shm" and profile.namespaces.ipc == "host" and where not in own:
            yield {"destination": where, "type": "bind", "source": where, "options": ["rbind", "rprivate"]}
        elif where not in own:
            writable = profile.privileged and where.startswith("/sys")
            yield _mount(
                where, kind, source, options.replace("ro ", "").removesuffix(" ro") if writable else options, found
            )


def _own_mounts(profile: Profile) -> Iterator[Json]:
    """Yield the profile's mounts, the outer before the inner ones."""
    for number, mount in sorted(enumerate(profile.mounts), key=lambda pair: pair[1].target.count("/")):
        made: Json = {"destination": mount.target, "type": mount.type, "source": mount.source}
        if mount.type == "tmpfs":
            yield made | {"source": "tmpfs", "options": ["rprivate", *mount.flags]}
        else:
            propagation = () if {*PROPAGATION} & {*mount.options} else ("rprivate",)
            source = mount.source or f"{VOLUME}{number}"
            yield made | {"type": "bind", "source": source, "options": ["rbind", *propagation, *mount.flags]}


def _mount(where: str, kind: str, source: str, options: str, found: ContainerContext) -> Json:
    flags = options.split()
    if found.users and kind == "cgroup":
        flags.remove("ro")  # runtimes remount read-only, which fails in a user namespace
    if (
        found.groups
        and TERMINALS in flags
        and not any(one.inside <= 5 < one.inside + one.count for one in found.groups)
    ):
        flags.remove(TERMINALS)
    return {"destination": where, "type": kind, "source": source, "options": flags}


def _network(found: ContainerContext) -> dict[str, str]:
    """All groups may ping; in a user namespace the range would have unmapped groups."""
    return PORTS if found.users else {**PORTS, **PING}


def _linux(profile: Profile, found: ContainerContext) -> Json:
    made: Json = {
        "sysctl": {**_network(found), **profile.sysctls},
        "namespaces": list(_namespaces(profile, found)),
        "maskedPaths": [] if profile.privileged else list(MASKED),
        "readonlyPaths": [] if profile.privileged else list(READ_ONLY),
    }
    asked = (*profile.devices, "/dev") if profile.privileged else profile.devices
    if asked:
        made["devices"] = [dict(zip(DEVICE, device, strict=True)) for device in devices.split(asked)]
    if found.cgroup:
        made |= {"cgroupsPath": found.cgroup, "resources": _resources(profile)}
    if found.users:
        made |= {"uidMappings": _ids(found.users), "gidMappings": _ids(found.groups)}
    if profile.seccomp != "unconfined":
        granted = capabilities.granted(profile.capabilities)
        if resolved := seccomp.resolve(profile.filter or seccomp.default(), granted, found.machine):
            made["seccomp"] = resolved
    return made


def _resources(profile: Profile) -> Json:
    known = [
        {"allow": allow, "type": "c", "major": major, "minor": minor, "access": "rwm"}
        for major, minor, allow in DEVICES
    ]
    return {
        "devices": [{"allow": True, "access": "rwm"}]
        if profile.privileged
        else [{"allow": False, "access": "rwm"}, *known],
        "memory": dict.fromkeys(SWAPLESS, profile.limits.memory_bytes),
        "pids": {"limit": profile.limits.pids},
    }


def _namespaces(profile: Profile, found: ContainerContext) -> list[Json]:
    pid: dict[str, list[Json]] = {
        "private": [{"type": "pid"}],
        "shared": [{"type": "pid", "path": f"/proc/{found.pid}/ns/pid"}],
        "host": [],
    }
    asked = profile.namespaces
    others = ["mount", "network", *(name for name in ("uts", "ipc") if getattr(asked, name) == "private")]
    others += ["user"] if found.users else []
    others += ["cgroup"] if asked.cgroup == "private" or (found.own_cgroups and asked.cgroup == "default") else []
    return [*({"type": name} for name in others), *pid[profile.namespaces.pid]]


def _ids(mapped: Sequence[IdMapping]) -> list[Json]:
    return [{"containerID": one.inside, "hostID": one.outside, "size": one.count} for one in mapped]
