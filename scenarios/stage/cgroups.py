"""Control groups that a scenario creates, moves stubs into and removes, in both of the kernel's layouts.

    with group_of("memory") as group:
        group.set({"memory.max": limit, "memory.limit_in_bytes": limit})
        group.add(pid)

Version 1 mounts each controller separately; version 2 has one tree for all and other file names.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

#: Seconds that the kernel may take to notice that a group is empty.
PATIENCE = 5.0

#: Controllers that every group of version 2 has.
CORE = ("freezer",)

_numbers = itertools.count()


class Group:
    """One control group."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def set(self, values: Mapping[str, int | str]) -> None:
        """Write those files that this layout has; it must have at least one."""
        there = {name: value for name, value in values.items() if (self.directory / name).exists()}
        assert there, f"{self.directory} has none of {', '.join(values)}"
        for name, value in there.items():
            (self.directory / name).write_text(str(value))

    def add(self, pid: int) -> None:
        """Move a process, with all its threads, into the group."""
        (self.directory / "cgroup.procs").write_text(str(pid))

    def remove(self) -> None:
        """Kill the remaining processes and remove the group."""
        deadline = time.monotonic() + PATIENCE
        while True:
            for pid in (self.directory / "cgroup.procs").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            try:
                return self.directory.rmdir()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.005)


@contextmanager
def group_of(controller: str) -> Iterator[Group]:
    """A new group with `controller` enabled, as close to this process's own group as possible."""
    group = Group(_make(controller))
    try:
        yield group
    finally:
        group.remove()


def _make(controller: str) -> Path:
    name = f"worldswitch-{os.getpid()}-{next(_numbers)}"
    problem: OSError | None = None
    for parent in _parents(controller):
        try:
            (parent / name).mkdir()
            _inherit(parent, parent / name)
        except OSError as error:
            problem = error
        else:
            return parent / name
    raise problem or FileNotFoundError(f"no control groups with the controller {controller} are mounted")


def _inherit(parent: Path, group: Path) -> None:
    """Copy the parent's CPUs and memory nodes: in version 1 a group without them accepts no process."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (group / name).exists() and (parent / name).exists() and (parent / name).read_text().strip():
            (group / name).write_text((parent / name).read_text())


def _parents(controller: str) -> Iterator[Path]:
    """The groups in which a new one could be created, the nearest first."""
    paths = [line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines()]
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, directory, kind, options, *_ = line.split()
        for controllers, path in paths:
            if kind == "cgroup" and controller in options.split(",") and controller in controllers.split(","):
                yield from _upwards(Path(directory), path)
            elif kind == "cgroup2" and not controllers:
                yield from (one for one in _upwards(Path(directory), path) if _offers(one, controller))


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    own = Path(path.lstrip("/"))
    yield from (mount / one for one in (own, *own.parents) if (mount / one).is_dir())


def _offers(directory: Path, controller: str) -> bool:
    """Whether children of the group have the controller: version 2 enables it per group, except for core ones."""
    if controller in CORE:
        return True
    try:
        return controller in (directory / "cgroup.subtree_control").read_text().split()
    except OSError:
        return False
