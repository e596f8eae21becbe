"""A profile's mounts: file systems of a container in addition to, or instead of, those that every container has."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

#: Flags of a mount and their opposites.
OPPOSITES = {"ro": "rw", "noexec": "exec", "nosuid": "suid", "nodev": "dev"}
OPPOSITE = {**OPPOSITES, **{opposite: flag for flag, opposite in OPPOSITES.items()}}
PROPAGATION = ("rprivate", "private", "rslave", "slave", "rshared", "shared")
#: Options of a tmpfs that have a value, and its form.
VALUES = {
    "size": r"[1-9][0-9]*[kmg%]?",
    "mode": "[0-7]{3,4}",
    "uid": "[0-9]+",
    "gid": "[0-9]+",
    "nr_inodes": "[0-9]+[kmg]?",
    "nr_blocks": "[0-9]+[kmg]?",
}

#: Options of a tmpfs that says nothing else, as engines have them.
TMPFS = ("noexec", "nosuid", "nodev")
#: The file systems that a mount on the same target changes: those that every container has.
STANDARD = {
    "/tmp": ("rw", "exec", "nosuid", "nodev", "mode=1777", "size=128m"),
    "/dev/shm": ("nosuid", "noexec", "nodev", "mode=1777", f"size={64 << 20}"),
}
#: Targets without which no process of the suite starts.
NEEDED = ("/", "/dev", "/proc", "/sys", "/usr", "/opt", "/lib", "/lib64", "/bin", "/sbin")


class Mount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One mount of a container."""

    target: Annotated[str, Meta(min_length=1)]
    #: `bind`: `source`, a path of the machine that runs the container.  `volume`: a new, empty folder on its disk.
    type: Literal["tmpfs", "bind", "volume"] = "tmpfs"
    source: str = ""
    options: tuple[str, ...] = ()  #: ro, noexec, nosuid, nodev, their opposites, size=64m

    def __post_init__(self) -> None:
        """Raise ValueError for a target, source or option that no engine takes, or that means two things."""
        if not _is_plain(self.target):
            raise ValueError(f"`target` is {self.target!r}, and must be an absolute path without . and ..")
        if self.target in NEEDED:
            raise ValueError(f"`target` is {self.target!r}, which would hide what the suite needs to start")
        if (self.type == "bind") is not bool(self.source):
            raise ValueError("`source` is a path for type bind, and absent for tmpfs and volume")
        if self.source and not _is_plain(self.source):
            raise ValueError(f"`source` is {self.source!r}, and must be an absolute path without . and ..")
        for number, option in enumerate(self.options):
            if problem := self._problem(option):
                raise ValueError(f"`options[{number}]` is {option!r}: {problem}")

    def _problem(self, option: str) -> str:
        """Return what is wrong with an option; empty if nothing is."""
        name, equals, value = option.partition("=")
        if equals and self.type != "tmpfs":
            return "only a tmpfs has options with a value"
        if equals and not re.fullmatch(VALUES.get(name, "(?!)"), value):
            return f"expected one of {', '.join(f'{known}=' for known in VALUES)} and a number, such as size=64m"
        if not equals and option not in (*OPPOSITE, *PROPAGATION):
            return f"expected one of {', '.join((*OPPOSITE, *PROPAGATION))}"
        if option in PROPAGATION and self.type != "bind":
            return "only a bind mount has a propagation"
        if OPPOSITE.get(option) in self.options:
            return f"so is {OPPOSITE[option]!r}, its opposite"
        return ""

    @property
    def flags(self) -> tuple[str, ...]:
        """Its options, completed by the defaults of its type and target."""
        return merged(STANDARD.get(self.target, TMPFS), self.options) if self.type == "tmpfs" else self.options


def merged(standard: Iterable[str], own: Iterable[str]) -> tuple[str, ...]:
    """Return options in which each of `own` replaces the same one and its opposite."""
    found = dict.fromkeys(standard)
    for option in own:
        replaced = {option, OPPOSITE.get(option, option)}
        found = {
            old: None for old in found if old not in replaced and old.partition("=")[0] != option.partition("=")[0]
        }
        found[option] = None
    return tuple(found)


def _is_plain(path: str) -> bool:
    return path.startswith("/") and str(PurePosixPath(path)) == path and ".." not in PurePosixPath(path).parts
