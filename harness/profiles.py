"""A profile: what a container's processes may do, and what the scenarios are then expected to come to.

Profiles are TOML files in `containers/profiles`, made to be read aloud; filters are JSON files in
`containers/seccomp`, in the container engines' own format.  What is wrong with a file is said with its name and the
field's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from worldswitch.harness.expectations import Expectation
from worldswitch.harness.verdict import Verdict

Sentence = Annotated[str, Meta(min_length=1)]
Capability = Annotated[str, Meta(pattern="^[A-Z_]+$")]

#: A filter's actions, as the engines name them.
ACTIONS = frozenset(
    f"SCMP_ACT_{name}"
    for name in ("ALLOW", "ERRNO", "KILL", "KILL_PROCESS", "KILL_THREAD", "LOG", "NOTIFY", "TRACE", "TRAP")
)


class ProfileError(ValueError):
    """A profile that cannot be used: which file, which field, and what is wrong with it."""

    def __init__(self, path: Path | str, field: str, problem: str) -> None:
        super().__init__(f"{path}: {field}: {problem}" if field else f"{path}: {problem}")
        self.path = path
        self.field = field


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much a container may take."""

    pids: Annotated[int, Meta(ge=16)] = 512
    memory: Annotated[str, Meta(pattern="^[1-9][0-9]*[kmg]$")] = "1g"


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """These scenarios, and those with one of these needs, end in one of these verdicts, for this reason."""

    verdicts: Annotated[tuple[Verdict, ...], Meta(min_length=1)]
    reason: Sentence
    scenarios: Annotated[tuple[Sentence, ...], Meta(min_length=1)] = ()
    needs: Annotated[tuple[Sentence, ...], Meta(min_length=1)] = ()

    def __post_init__(self) -> None:
        """Refuse a line about nothing."""
        if not (self.scenarios or self.needs):
            raise ValueError("a line says by `scenarios` or `needs` what it is about")

    @property
    def expectation(self) -> Expectation:
        """The line as others use it."""
        return Expectation(self.scenarios, frozenset(self.verdicts), self.reason, frozenset(self.needs))


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of `containers/profiles`."""

    name: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]*$")]
    about: Sentence  #: what it takes away, and whose default it is
    capabilities: Literal["default"] | tuple[Capability, ...]  #: all are dropped but these
    seccomp: Sentence  #: `default`, `unconfined`, or a file of `containers/seccomp`
    user: Annotated[str, Meta(pattern="^[0-9]+:[0-9]+$")] = "0:0"  #: numeric: an image need not have names
    no_new_privileges: bool = True
    init: bool = True  #: whether an init of the engine's is PID 1, or the suite itself
    limits: Limits = Limits()
    expect: tuple[Line, ...] = ()

    @property
    def expectations(self) -> tuple[Expectation, ...]:
        """Which scenarios may end otherwise than in a pass; the first line that covers one decides."""
        return tuple(line.expectation for line in self.expect)

    @property
    def fields(self) -> dict[str, Any]:
        """What it says of its cells, for the results and for conditions; without what is expected of them."""
        said: dict[str, Any] = msgspec.to_builtins(self)
        return {name: value for name, value in said.items() if name != "expect"}

    @property
    def security_options(self) -> list[str]:
        """The engine's `security_opt`; its API takes a filter as text, not by path."""
        options = ["no-new-privileges:true"] if self.no_new_privileges else []
        if self.seccomp == "default":
            return options
        return [*options, f"seccomp={self.seccomp if self.seccomp == 'unconfined' else read_filter(self.seccomp)}"]


def folder(name: str) -> Path:
    """Return a folder of the package's data."""
    return Path(str(resources.files("worldswitch.containers"))) / name


def available() -> dict[str, Path]:
    """The profiles that come with the package, in the order of their names."""
    return {path.stem: path for path in sorted(folder("profiles").glob("*.toml"))}


def select(wanted: Sequence[str]) -> list[Profile]:
    """Load profiles by name or by path, each once; all of the package's if none is named."""
    paths = available()
    for name in wanted:
        if name not in paths and not name.endswith(".toml"):
            raise ProfileError(name, "", f"no such profile; there are {', '.join(paths)}, or give the path of a file")
    return [load(paths.get(name, Path(name))) for name in dict.fromkeys(wanted or paths)]


def load(path: Path) -> Profile:
    """Read one profile."""
    try:
        profile = msgspec.toml.decode(path.read_bytes(), type=Profile)
    except OSError as problem:
        raise ProfileError(path, "", f"cannot be read: {problem.strerror}") from problem
    except msgspec.ValidationError as problem:
        raise ProfileError(path, *_place(str(problem))) from problem
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise ProfileError(path, "", f"not TOML: {problem}") from problem
    if profile.name != path.stem:
        raise ProfileError(path, "name", f"says {profile.name!r}, but a profile bears its file's name")
    if profile.seccomp not in ("default", "unconfined"):
        _check_filter_of(profile, path)
    return profile


def read_filter(name: str) -> str:
    """Return the text of a filter of `containers/seccomp`, checked."""
    path = folder("seccomp") / name
    try:
        text = path.read_text()
    except OSError as problem:
        raise ProfileError(path, "", f"cannot be read: {problem.strerror}") from problem
    try:
        check_filter(json.loads(text), path)
    except json.JSONDecodeError as problem:
        raise ProfileError(path, f"line {problem.lineno}", f"not JSON: {problem.msg}") from problem
    return text


def check_filter(content: object, path: Path) -> None:
    """Refuse what an engine would refuse only when the container starts, or, worse, would ignore."""
    if not isinstance(content, dict):
        raise ProfileError(path, "", "a filter is a JSON object")
    _check_action(content.get("defaultAction"), path, "defaultAction")
    rules = content.get("syscalls")
    if not isinstance(rules, list):
        raise ProfileError(path, "syscalls", "must be a list of rules")
    for number, rule in enumerate(rules):
        field = f"syscalls[{number}]"
        if not isinstance(rule, dict) or not rule.get("names"):
            raise ProfileError(path, field, "a rule is an object with `names`")
        _check_action(rule.get("action"), path, f"{field}.action")


def _check_action(action: object, path: Path, field: str) -> None:
    if action not in ACTIONS:
        raise ProfileError(path, field, f"{action!r} is no action; there are {', '.join(sorted(ACTIONS))}")


def _check_filter_of(profile: Profile, path: Path) -> None:
    known = sorted(file.name for file in folder("seccomp").glob("*.json"))
    if profile.seccomp not in known:
        choices = ", ".join(["default", "unconfined", *known])
        raise ProfileError(path, "seccomp", f"{profile.seccomp!r} is none of {choices}")
    read_filter(profile.seccomp)


def _place(message: str) -> tuple[str, str]:
    """Split a validation error into field and problem: msgspec says the path last, a missing field in its text."""
    problem, _, place = message.partition(" - at `$")
    field = place.rstrip("`").lstrip(".")
    if named := re.search(r"(?:required|unknown) field `(.+?)`", problem):
        field = f"{field}.{named[1]}".lstrip(".")
    return field, problem[:1].lower() + problem[1:]
