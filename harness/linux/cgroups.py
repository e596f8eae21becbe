"""Control groups (cgroups(7)) of version 1 and 2: a process's memberships, and the removal of groups that trials left.

A trial removes its own groups unless it is killed.  Its killer then removes them and must thaw them first: a process
in a frozen group of version 1 does not die, even by SIGKILL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: The names of the groups of trials and probes, with the pid of the process that made them.
NAME = re.compile(r"worldswitch-(?:(\d+)-\d+|probe-(\d+))")

#: The files that thaw a group of either version, and the value to write.
THAW = {"freezer.state": "THAWED", "cgroup.freeze": "0"}


@dataclass(frozen=True, slots=True)
class Membership:
    """A mounted hierarchy and the group of a process in it."""

    mount: Path
    options: tuple[str, ...]
    controllers: tuple[str, ...]  #: empty for version 2
    path: str

    @property
    def has(self) -> tuple[str, ...]:
        """The controllers of a version 1 hierarchy."""
        return tuple(name for name in self.controllers if name in self.options)

    def upwards(self) -> Iterator[Path]:
        """The folders of the process's group and its ancestors that are visible here, the nearest first."""
        own = Path(self.path.lstrip("/"))
        yield from (self.mount / path for path in (own, *own.parents) if (self.mount / path).is_dir())


def memberships(pid: int | str = "self") -> Iterator[Membership]:
    """The memberships of a process in each mounted hierarchy; raises OSError if there is no such process."""
    groups = [line.split(":", 2)[1:] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount, kind, options, *_ = line.split()
        for text, path in groups:
            controllers = tuple(text.split(",")) if text else ()
            membership = Membership(Path(mount), tuple(options.split(",")), controllers, path)
            if (kind == "cgroup" and membership.has) or (kind == "cgroup2" and not controllers):
                yield membership


def thaw(group: Path) -> None:
    """Thaw a group; errors are ignored."""
    for name, word in THAW.items():
        with suppress(OSError), (group / name).open("r+") as file:
            file.write(word)


def release(pid: int) -> None:
    """Thaw the trial's groups that a process is in, so that it can be killed."""
    with suppress(OSError):
        for membership in memberships(pid):
            if NAME.fullmatch(Path(membership.path).name):
                thaw(membership.mount / membership.path.lstrip("/"))


def clear() -> None:
    """Remove the groups that dead trials left."""
    for group in stale():
        with suppress(OSError):
            group.rmdir()


def stale() -> set[Path]:
    """The groups near this process whose trial or probe has ended."""
    with suppress(OSError):
        made = {group for one in memberships() for up in one.upwards() for group in up.glob("worldswitch-*")}
        return {group for group in made if (named := NAME.fullmatch(group.name)) and not _lives(named[1] or named[2])}
    return set()


def _lives(pid: str) -> bool:
    return Path(f"/proc/{pid}").exists()
