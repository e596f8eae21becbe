"""A profile: what a container's processes may do, and what the scenarios are then expected to come to.

Profiles are TOML files in `containers/profiles`, made to be read aloud; filters are JSON files in
`containers/seccomp`, in the container engines' own format.  What is wrong with a file is said with its name and the
field's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from worldswitch.harness.environments.profiles import seccomp_filter
from worldswitch.harness.environments.profiles.containers_data import folder
from worldswitch.harness.environments.profiles.seccomp_filter import ProfileError as ProfileError  # offered here too
from worldswitch.harness.environments.validation import field_and_problem

Word = Annotated[str, Meta(pattern=r"^[\w.-]+(=\S+)?$")]
Sentence = Annotated[str, Meta(min_length=1)]
Capability = Annotated[str, Meta(pattern="^[A-Z_]+$")]

#: Which of the kernel's settings are a container's own (sysctl(8) names); all others are the machine's.
CONTAINER_SYSCTLS = ("net.", "fs.mqueue.", "kernel.msg", "kernel.sem", "kernel.shm")

UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much a container may take."""

    pids: Annotated[int, Meta(ge=16)] = 512  #: processes and threads, of the whole container
    memory: Annotated[str, Meta(pattern="^[1-9][0-9]*[kmg]$")] = "1g"  #: without swap, which there is none of
    #: Trials at a time at most, 0 for as many as there are CPUs: where a trial meets a limit, so do those beside it.
    trials: Annotated[int, Meta(ge=0)] = 0

    @property
    def memory_bytes(self) -> int:
        """The limit on memory as a number."""
        return int(self.memory[:-1]) * UNITS[self.memory[-1]]


class Namespaces(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which namespaces a container has beside its own network, mounts, IPC and host name, which it always has."""

    #: `private`: its own, with its first process as process 1.  `shared`: that of another container, which is made
    #: first, has an init as process 1, and is removed last.  `host`: the machine's, with all that runs there.
    pid: Literal["private", "shared", "host"] = "private"
    #: `host`: user ids are the machine's.  `mapped`: a namespace of its own, whose ids, root's too, are those of
    #: ordinary users outside, 65536 of them from one that the engine chooses; capabilities hold inside only.
    user: Literal["host", "mapped"] = "host"


class KernelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the kernel below the container is to be like; only who boots one can give that.

    An engine on a machine that already has these settings can run the profile; `kernel_settings` compares them.
    """

    yama: Annotated[int, Meta(ge=0, le=3)] | None = None  #: kernel.yama.ptrace_scope; 3 cannot be left without a boot
    command_line: tuple[Word, ...] = ()  #: words for the boot: vsyscall=none
    sysctls: dict[str, str] = {}  #: settings of the whole machine, name to value: vm.max_map_count = "1024"

    def __bool__(self) -> bool:
        """Whether anything is asked."""
        return self != KernelSettings()

    def __post_init__(self) -> None:
        """Refuse what is no name of a setting, and what is said elsewhere."""
        for name in self.sysctls:
            if not SYSCTL.fullmatch(name):
                raise ValueError(f"{name!r} in `sysctls` is no name of a setting, as vm.max_map_count is")
            if name == YAMA:
                raise ValueError(f"{name!r} in `sysctls` is said by `yama`")


YAMA = "kernel.yama.ptrace_scope"
SYSCTL = re.compile(r"[a-z][a-z0-9_-]*(\.[A-Za-z0-9_-]+)+")


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of `containers/profiles`."""

    name: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]*$")]
    about: Sentence  #: what it takes away, and whose default it is
    capabilities: Literal["default"] | tuple[Capability, ...]  #: all are dropped but these
    seccomp: Sentence  #: `default`, `unconfined`, or a file: of `containers/seccomp`, or beside the profile's own
    user: Annotated[str, Meta(pattern="^[0-9]+:[0-9]+$")] = "0:0"  #: numeric: an image need not have names
    no_new_privileges: bool = True
    init: bool = True  #: whether an init of the engine's is PID 1, or the suite itself
    namespaces: Namespaces = Namespaces()
    sysctls: dict[str, str] = {}  #: settings of the container's own namespaces, name to value
    limits: Limits = Limits()
    kernel: KernelSettings = KernelSettings()
    usual: bool = False  #: whether `worldswitch run` has a container of it where no profile is named
    expect: tuple[
        dict[str, Any], ...
    ] = ()  #: what is expected under it: `worldswitch.harness.expectations.rules` reads that

    def __post_init__(self) -> None:
        """Refuse what does not go together."""
        for name in self.sysctls:
            if not name.startswith(CONTAINER_SYSCTLS):
                raise ValueError(
                    f"{name!r} in `sysctls` is no setting of a container's own; say it in [kernel.sysctls]"
                )
        if self.init and self.namespaces.pid != "private":
            raise ValueError(f"`init` is for a PID namespace of its own, and `namespaces.pid` is {self.namespaces.pid}")

    @property
    def fields(self) -> dict[str, Any]:
        """What it says of its cells, for the results and for conditions; without what is expected of them."""
        said: dict[str, Any] = msgspec.to_builtins(self)
        return {name: value for name, value in said.items() if name != "expect"}

    @property
    def facts(self) -> dict[str, str]:
        """What an environment under it says of it among its own `facts`."""
        trials = {"trials": str(self.limits.trials)} if self.limits.trials else {}
        return {"profile": self.name, **trials}

    @property
    def security_options(self) -> list[str]:
        """The engine's `security_opt`; its API takes a filter as text, not by path."""
        options = ["no-new-privileges:true"] if self.no_new_privileges else []
        if self.seccomp == "default":
            return options
        if self.seccomp == "unconfined":
            options.append("apparmor=unconfined")  # which forbids mounts, where there is AppArmor
        return [*options, f"seccomp={self.filter or self.seccomp}"]

    @property
    def filter(self) -> str:
        """The filter's own text, a JSON object (`filters.Filter`); none if it is the engine's, or there is none."""
        return "" if self.seccomp in ENGINES_OWN else read_filter(self.seccomp)


ALL = "all"


def available() -> dict[str, Path]:
    """The profiles that come with the package, in the order of their names."""
    return {path.stem: path for path in sorted(folder("profiles").glob("*.toml"))}


def select(wanted: Sequence[str]) -> list[Profile]:
    """Load profiles by name or by path, each once; `all` for each of the package's, and none for the usual ones."""
    found = [load(path) for path in files(wanted)]
    return found if wanted else [profile for profile in found if profile.usual]


def files(wanted: Sequence[str]) -> list[Path]:
    """Return the files of profiles that are wanted by name or by path, each once; all of the package's without any."""
    paths = available()
    wanted = wanted or [ALL]
    for name in wanted:
        if name not in (*paths, ALL) and not name.endswith(".toml"):
            raise ProfileError(
                name,
                "",
                f"no such profile; there are {', '.join(paths)}, or all of them: {ALL}, or give the path of a file",
            )
    named = (one for name in wanted for one in (paths if name == ALL else [name]))
    return [paths.get(name, Path(name)) for name in dict.fromkeys(named)]


def load(path: Path) -> Profile:
    """Read one profile."""
    try:
        profile = msgspec.toml.decode(path.read_bytes(), type=Profile)
    except OSError as problem:
        raise ProfileError(path, "", f"cannot be read: {problem.strerror}") from problem
    except msgspec.ValidationError as problem:
        raise ProfileError(path, *field_and_problem(str(problem))) from problem
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise ProfileError(path, "", f"not TOML: {problem}") from problem
    if profile.name != path.stem:
        raise ProfileError(path, "name", f"says {profile.name!r}, but a profile bears its file's name")
    return profile if profile.seccomp in ENGINES_OWN else _with_filter(profile, path)


ENGINES_OWN = ("default", "unconfined")


def read_filter(name: str) -> str:
    """Return the text of a filter, checked: a file of `containers/seccomp`, or any by its whole path."""
    path = folder("seccomp") / name  # a whole path stays what it is
    seccomp_filter.load(path)
    return path.read_text()


def _with_filter(profile: Profile, path: Path) -> Profile:
    """The profile with a filter that exists and is right; one beside the profile's file by its whole path."""
    beside = path.parent.resolve() / profile.seccomp
    if beside.is_file():
        profile = msgspec.structs.replace(profile, seccomp=str(beside))
    elif profile.seccomp not in (known := sorted(file.name for file in folder("seccomp").glob("*.json"))):
        choices = ", ".join([*ENGINES_OWN, *known])
        raise ProfileError(path, "seccomp", f"{profile.seccomp!r} is none of {choices}, nor a file beside this one")
    read_filter(profile.seccomp)
    return profile
