"""Control groups, in a tree for each controller or in one for all (cgroups(7)): what may be made, what is limited."""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Iterator
from pathlib import Path

from worldswitch.harness.cell.probes import Absent, Look
from worldswitch.harness.linux import cgroups, processes

#: What every group of version 2 can do.
CORE = ("freezer",)


def _group(controller: str) -> str:
    problem: OSError | None = None
    for parent in _parents(controller):
        group = parent / f"worldswitch-probe-{os.getpid()}"
        try:
            group.mkdir()
            _inherit(parent, group)
        except OSError as error:
            problem = error
            continue
        return _try(group)
    if problem is not None and problem.errno == errno.EROFS:  # as container engines mount them
        raise PermissionError(errno.EPERM, "control groups are there to be read only")
    raise problem or Absent(f"no control groups with the controller {controller} are mounted")


def _try(group: Path) -> str:
    """Move a child into a new group and end it there."""
    try:
        processes.call_in_child(lambda: (group / "cgroup.procs").write_text("0"))
    finally:
        group.rmdir()
    return f"a process was moved to a group of its own in {group.parent}"


def _inherit(parent: Path, group: Path) -> None:
    """Let a group have its parent's CPUs and memory: in version 1 nobody can be in it else."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (group / name).exists() and (parent / name).exists() and (parent / name).read_text().strip():
            (group / name).write_text((parent / name).read_text())


def _parents(controller: str) -> Iterator[Path]:
    """Where a group might be made, the nearest first."""
    for one in cgroups.memberships():
        if controller in one.has:
            yield from one.upwards()
        elif not one.controllers:
            yield from (group for group in one.upwards() if _offers(group, controller))


def _offers(directory: Path, controller: str) -> bool:
    """Whether groups in it have the controller, which version 2 leaves to choice, but for what it has in itself."""
    if controller in CORE:
        return True
    try:
        return controller in (directory / "cgroup.subtree_control").read_text().split()
    except OSError:
        return False


#: How little can be used up in a moment.
SCARCE_MEMORY, SCARCE_PROCESSES = 512 << 20, 256


def _scarce(controller: str, files: tuple[str, ...], most: int, unit: str) -> str:
    """Meet a limit that somebody set for all that runs here, if it is near."""
    limit = limit_of(controller, files)
    if limit is None or limit > most:
        raise Absent(f"no limit of {most} {unit} or less" + (f": it is {limit}" if limit else ""))
    return f"a limit of {limit} {unit}"


def limit_of(controller: str, files: tuple[str, ...]) -> int | None:
    """The tightest limit on this process's group and those it is in, read from the first of `files` each has."""
    limits = [
        int(text)
        for folder in _groups_of(controller)
        for file in files
        if (folder / file).is_file() and (text := (folder / file).read_text().strip()) != "max"
    ]
    return min(limits, default=None)


def _groups_of(controller: str) -> Iterator[Path]:
    for one in cgroups.memberships():
        if controller in one.has or not one.controllers:
            yield from one.upwards()


#: The probes of this file, by the name a scenario's ``needs`` calls each.
PROBES: dict[str, Look] = {
    "memcg": functools.partial(_group, "memory"),
    "cpuset": functools.partial(_group, "cpuset"),
    "freezer": functools.partial(_group, "freezer"),
    "scarce_memory": functools.partial(
        _scarce, "memory", ("memory.max", "memory.limit_in_bytes"), SCARCE_MEMORY, "bytes"
    ),
    "scarce_processes": functools.partial(_scarce, "pids", ("pids.max",), SCARCE_PROCESSES, "processes"),
}
