"""Where control groups are (cgroups(7)), in a tree for each controller or in one for all, and what trials left there.

A trial takes its groups away itself, unless it is killed.  Whoever ends it does it then, and must thaw them first: in a
frozen group of version 1 nobody dies, not even by SIGKILL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: What trials and probes call their groups: after the process that made them.
NAME = re.compile(r"worldswitch-(?:(\d+)-\d+|probe-(\d+))")

#: The files by which a group is thawed, of either version, with what they are told.
THAW = {"freezer.state": "THAWED", "cgroup.freeze": "0"}


@dataclass(frozen=True, slots=True)
class Membership:
    """A mounted tree, and where a process is in it."""

    mount: Path
    options: tuple[str, ...]
    controllers: tuple[str, ...]  #: none in the tree of version 2
    path: str

    @property
    def has(self) -> tuple[str, ...]:
        """The controllers of the tree, which is of version 1."""
        return tuple(one for one in self.controllers if one in self.options)

    def upwards(self) -> Iterator[Path]:
        """The process's group, if it can be seen from here, and those it is in, the nearest first."""
        own = Path(self.path.lstrip("/"))
        yield from (self.mount / one for one in (own, *own.parents) if (self.mount / one).is_dir())


def memberships(pid: int | str = "self") -> Iterator[Membership]:
    """Where a process is in each tree that is mounted here; OSError if there is no such process."""
    groups = [line.split(":", 2)[1:] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount, kind, options, *_ = line.split()
        for text, path in groups:
            controllers = tuple(text.split(",")) if text else ()
            one = Membership(Path(mount), tuple(options.split(",")), controllers, path)
            if (kind == "cgroup" and one.has) or (kind == "cgroup2" and not controllers):
                yield one


def thaw(group: Path) -> None:
    """Let what is in a group go on."""
    for name, word in THAW.items():
        with suppress(OSError), (group / name).open("r+") as file:
            file.write(word)


def release(pid: int) -> None:
    """Thaw the group of a trial's that a process is in, if it is in one, so that it can be killed."""
    with suppress(OSError):
        for one in memberships(pid):
            if NAME.fullmatch(Path(one.path).name):
                thaw(one.mount / one.path.lstrip("/"))


def clear() -> None:
    """Take away what trials left."""
    for group in left():
        with suppress(OSError):
            group.rmdir()


def left() -> set[Path]:
    """What trials made near this process, and are no more: they take nothing away."""
    with suppress(OSError):
        made = {group for one in memberships() for up in one.upwards() for group in up.glob("worldswitch-*")}
        return {group for group in made if (named := NAME.fullmatch(group.name)) and not _lives(named[1] or named[2])}
    return set()


def _lives(pid: str) -> bool:
    return Path(f"/proc/{pid}").exists()
