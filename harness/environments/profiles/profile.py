"""A profile: the privileges and limits of a container, and the results that are expected under it.

Profiles are TOML files in `containers/profiles`; filters are JSON files in `containers/seccomp`, in the container
engines' format.  Errors name the file and the field.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from worldswitch.harness.environments.filters.findings import Finding, Severity
from worldswitch.harness.environments.profiles import containers_data, seccomp_filter
from worldswitch.harness.environments.profiles.containers_data import InvalidField, folder, read_toml
from worldswitch.harness.environments.profiles.mounts import Mount
from worldswitch.harness.environments.profiles.seccomp_filter import ProfileError as ProfileError  # re-exported
from worldswitch.harness.environments.profiles.ulimits import Ulimits
from worldswitch.harness.linux import capabilities
from worldswitch.harness.nearest import hint

Word = Annotated[str, Meta(pattern=r"^[\w.-]+(=\S+)?$")]
Sentence = Annotated[str, Meta(min_length=1)]
Id = Annotated[int, Meta(ge=0, lt=(1 << 32) - 1)]
#: ``/dev/kvm``, ``/dev/kvm:/dev/other`` or ``/dev/kvm:/dev/other:rw``, as engines write it.
Device = Annotated[str, Meta(pattern=r"^/dev(/[^:]+)?(:/[^:]+)?(:[rwm]{1,3})?$")]
#: `disable`, or a part of the label such as ``type:spc_t``, as engines write it.
SelinuxOption = Annotated[str, Meta(pattern=r"^(disable|(user|role|type|level):\S+)$")]

#: Prefixes of sysctls that belong to a container's namespaces; all others are the machine's.
CONTAINER_SYSCTLS = ("net.", "fs.mqueue.", "kernel.msg", "kernel.sem", "kernel.shm")

UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A container's resource limits."""

    pids: Annotated[int, Meta(ge=16)] = 512  #: processes and threads of the whole container
    memory: Annotated[str, Meta(pattern="^[1-9][0-9]*[kmg]$")] = "1g"  #: there is no swap
    #: Concurrent trials at most, 0 for one per CPU: when one trial reaches a limit, concurrent ones do too.
    trials: Annotated[int, Meta(ge=0)] = 0

    @property
    def memory_bytes(self) -> int:
        """The memory limit in bytes."""
        return int(self.memory[:-1]) * UNITS[self.memory[-1]]


class Namespaces(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A container's optional namespaces; network and mounts are always private."""

    #: `private`: a new one, with the container's first process as process 1.  `shared`: that of a companion container,
    #: which has an init as process 1, starts first and is removed last.  `host`: the machine's.
    pid: Literal["private", "shared", "host"] = "private"
    #: `host`: user ids are the machine's.  `mapped`: a new one with 65536 ids, root included, mapped to unprivileged
    #: ids that the engine chooses; capabilities apply inside only.
    user: Literal["host", "mapped"] = "host"
    ipc: Literal["private", "host"] = "private"  #: System V IPC, message queues, /dev/shm
    uts: Literal["private", "host"] = "private"  #: host name
    #: `default`: private with control groups of version 2, the machine's with version 1.
    cgroup: Literal["default", "private", "host"] = "default"


class KernelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A profile's kernel table: settings of the kernel below the container, set by booting one in a virtual machine.

    An engine can run the profile on a machine that already has these settings; `kernel_settings` compares them.
    """

    yama: Annotated[int, Meta(ge=0, le=3)] | None = None  #: kernel.yama.ptrace_scope; only a reboot leaves 3
    command_line: tuple[Word, ...] = ()  #: kernel parameters: vsyscall=none
    sysctls: dict[str, str] = {}  #: sysctls of the machine: vm.max_map_count = "1024"

    def __bool__(self) -> bool:
        """True if any setting is required."""
        return self != KernelSettings()

    def __post_init__(self) -> None:
        """Raise ValueError for an invalid sysctl name, and for Yama's, which has its own field."""
        for name in self.sysctls:
            if not SYSCTL.fullmatch(name):
                raise ValueError(f"{name!r} in `sysctls` is not the name of a sysctl such as vm.max_map_count")
            if name == YAMA:
                raise ValueError(f"{name!r} in `sysctls`: use the field `yama`")


YAMA = "kernel.yama.ptrace_scope"
SYSCTL = re.compile(r"[a-z][a-z0-9_-]*(\.[A-Za-z0-9_-]+)+")


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of `containers/profiles`."""

    name: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]*$")]
    about: Sentence  #: what it restricts, and where it is the default
    #: All others are dropped.  `default`: the engine's; `all`, or ALL among them: every one of the kernel.
    capabilities: Literal["default", "all"] | tuple[str, ...]
    seccomp: Sentence  #: `default`, `unconfined`, or a file in `containers/seccomp` or in the profile's folder
    user: Annotated[str, Meta(pattern="^[0-9]+:[0-9]+$")] = "0:0"  #: numeric, since the image may have no names
    no_new_privileges: bool = True
    init: bool = True  #: True if the engine's init is PID 1, else the suite is
    namespaces: Namespaces = Namespaces()
    sysctls: dict[str, str] = {}  #: sysctls of the container's namespaces
    #: No AppArmor profile, no hidden or read-only part of /proc and /sys, every device, in addition to every capability
    #: and no filter.
    privileged: bool = False
    apparmor: Annotated[str, Meta(pattern=r"^\S*$")] = ""  #: a loaded profile, or `unconfined`; empty: the engine's
    selinux: tuple[SelinuxOption, ...] = ()  #: without any, the engine's label
    groups: tuple[Id, ...] = ()  #: supplementary, in addition to the user's
    read_only: bool = True  #: the root; False: a writable copy that ends with the container
    mounts: tuple[Mount, ...] = ()
    devices: tuple[Device, ...] = ()  #: of the machine that runs the container
    ulimits: Ulimits = Ulimits()
    limits: Limits = Limits()
    kernel: KernelSettings = KernelSettings()
    usual: bool = False  #: True if `worldswitch run` includes it when no profile is named
    #: Raw rules of its expected results, parsed by `worldswitch.harness.expectations.rules`.
    expect: tuple[dict[str, Any], ...] = ()

    def __post_init__(self) -> None:
        """Write capabilities without prefix; raises ValueError for an unknown one, and for contradictions."""
        if not isinstance(self.capabilities, str):
            names = tuple(_normal(self.capabilities))
            msgspec.structs.force_setattr(self, "capabilities", "all" if capabilities.ALL in names else names)
        for name in self.sysctls:
            if not name.startswith(CONTAINER_SYSCTLS):
                raise ValueError(
                    f"{name!r} in `sysctls` is a machine's setting, not a container's; put it in [kernel.sysctls]"
                )
        if self.init and self.namespaces.pid != "private":
            raise ValueError(f"`init` needs a private PID namespace, and `namespaces.pid` is {self.namespaces.pid}")
        if self.privileged and (self.capabilities, self.seccomp) != ("all", "unconfined"):
            raise ValueError('`privileged` means `capabilities = "all"` and `seccomp = "unconfined"`; write both')
        if self.privileged and self.apparmor not in ("", "unconfined"):
            raise ValueError("`privileged` means no AppArmor profile, and `apparmor` names one")
        if self.privileged and self.namespaces.user == "mapped":
            raise ValueError("`privileged` needs the machine's user ids, and `namespaces.user` is mapped")
        if "disable" in self.selinux and len(self.selinux) > 1:
            raise ValueError("`selinux` has both `disable` and a part of a label")
        targets = [mount.target for mount in self.mounts]
        if twice := next((one for one in targets if targets.count(one) > 1), ""):
            raise ValueError(f"`mounts` has the target {twice!r} twice")

    def companion(self) -> Profile:
        """Return the profile of its containers' companion: private namespaces and an init."""
        return msgspec.structs.replace(self, namespaces=Namespaces(), init=True)

    @property
    def fields(self) -> dict[str, Any]:
        """Its fields without `expect`, for results and conditions."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        return {name: value for name, value in fields.items() if name != "expect"}

    @property
    def facts(self) -> dict[str, str]:
        """Its part of the `facts` of an environment."""
        trials = {"trials": str(self.limits.trials)} if self.limits.trials else {}
        return {"profile": self.name, **trials}

    @property
    def security_options(self) -> list[str]:
        """The engine's `security_opt`; the API expects a filter's text, not its path."""
        options = ["no-new-privileges:true"] if self.no_new_privileges else []
        if apparmor := self.apparmor or ("unconfined" if self.seccomp == "unconfined" else ""):
            options.append(f"apparmor={apparmor}")  # AppArmor's default profile forbids mounts
        options += [f"label={option}" for option in self.selinux]
        return options if self.seccomp == "default" else [*options, f"seccomp={self.filter or self.seccomp}"]

    @property
    def filter(self) -> str:
        """The text of its filter (`seccomp_filter.Filter`); empty for `default` and `unconfined`."""
        return "" if self.seccomp in ENGINES_OWN else read_filter(self.seccomp)

    @property
    def warnings(self) -> list[str]:
        """What does not do what its filter says."""
        if self.seccomp in ENGINES_OWN:
            return []
        path = filter_path(self.seccomp)
        findings = seccomp_filter.load_checked(path).findings
        return [f"{path}: {one.severity}: {one}" for one in findings if one.severity is Severity.WARNING]


def _normal(names: Sequence[str]) -> dict[str, None]:
    found: dict[str, None] = {}
    for number, name in enumerate(names):
        try:
            found[capabilities.normal(name)] = None
        except ValueError as problem:
            raise InvalidField(f"capabilities[{number}]", str(problem)) from problem
    return found


ALL = "all"
#: The command of a companion, a container that exists only to share its PID namespace with another.
IDLE = ["python3", "-c", "import signal; signal.pause()"]


def available() -> dict[str, Path]:
    """Return the shipped profiles, sorted by name."""
    return {path.stem: path for path in sorted(folder("profiles").glob("*.toml"))}


def select(names: Sequence[str]) -> list[Profile]:
    """Load profiles by name or path, each once; `all` means every shipped profile, no name the usual ones."""
    found = [load(path) for path in files(names)]
    return found if names else [profile for profile in found if profile.usual]


def files(names: Sequence[str]) -> list[Path]:
    """Return the files of profiles given by name or path, each once; no name means every shipped profile.

    Raises `ProfileError`.
    """
    paths = available()
    names = names or [ALL]
    for name in names:
        if name not in (*paths, ALL) and not name.lower().endswith((".toml", *seccomp_filter.SUFFIXES)):
            raise ProfileError(name, "", _no_profile(name, paths))
    named = (one for name in names for one in (paths if name == ALL else [name]))
    return [paths.get(name, Path(name)) for name in dict.fromkeys(named)]


def _no_profile(name: str, known: Iterable[str]) -> str:
    ends = " or ".join((".toml", *seccomp_filter.SUFFIXES))
    if Path(name).is_file():
        return f"this file is neither a profile nor a filter: its name must end in {ends}"
    suggested = hint(name, [*known, ALL])
    return f"no such profile{suggested}; choose one of `worldswitch list profiles`, {ALL}, or a file {ends}"


def load(path: Path) -> Profile:
    """Read and check a profile, or a filter as one.  Raises `ProfileError`."""
    if path.suffix.lower() in seccomp_filter.SUFFIXES:
        return _of_filter(path)
    try:
        profile = read_toml(path, Profile, partial(ProfileError, path))
    except ProfileError as problem:
        raise _with_every_problem(path, problem) from problem.__cause__
    if profile.name != path.stem:
        raise ProfileError(path, "name", f"is {profile.name!r}, but must be the file's name, {path.stem!r}")
    return profile if profile.seccomp in ENGINES_OWN else _with_filter(profile, path)


ENGINES_OWN = ("default", "unconfined")


def _with_every_problem(path: Path, problem: ProfileError) -> ProfileError:
    if not isinstance(problem.__cause__, msgspec.ValidationError):
        return problem
    first, *others = containers_data.every_problem(
        read_toml(path, dict[str, Any], partial(ProfileError, path)), Profile
    )
    return ProfileError(path, *first, [Finding(Severity.ERROR, *other) for other in others])


def _of_filter(path: Path) -> Profile:
    """A filter's profile: the filter, with the engine's usual capabilities."""
    seccomp_filter.load(path)
    name = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-") or "filter"
    return Profile(
        name=f"filter-{name}" if name in (*available(), ALL) else name,
        about=f"The filter {path.name}, with the engine's usual capabilities.",
        capabilities="default",
        seccomp=str(path.resolve()),
    )


def read_filter(name: str) -> str:
    """Return the checked text of a filter in `containers/seccomp` or at an absolute path.  Raises `ProfileError`."""
    return seccomp_filter.load_checked(filter_path(name)).text


def filter_path(name: str) -> Path:
    """Return the path of a filter in `containers/seccomp`; an absolute path stays as it is."""
    return folder("seccomp") / name


def _with_filter(profile: Profile, path: Path) -> Profile:
    """Check the profile's filter; one in the profile's own folder becomes an absolute path."""
    local = path.parent.resolve() / profile.seccomp
    if local.is_file():
        profile = msgspec.structs.replace(profile, seccomp=str(local))
    elif profile.seccomp not in (known := sorted(file.name for file in folder("seccomp").glob("*.json"))):
        choices = ", ".join([*ENGINES_OWN, *known])
        raise ProfileError(
            path, "seccomp", f"{profile.seccomp!r} is neither one of {choices} nor a file in this folder"
        )
    read_filter(profile.seccomp)
    return profile
