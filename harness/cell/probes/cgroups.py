"""Probes of control groups (cgroups(7)), version 1 and 2: which can be created, and which limits apply."""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Iterator
from pathlib import Path

from worldswitch.harness.cell.probes import Absent, Look
from worldswitch.harness.linux import cgroups, processes

#: The controllers that every group of version 2 has.
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
    if problem is not None and problem.errno == errno.EROFS:  # as in containers
        raise PermissionError(errno.EPERM, "control groups are mounted read-only")
    raise problem or Absent(f"no control groups with the controller {controller} are mounted")


def _try(group: Path) -> str:
    """Run a child in a new group, and remove the group."""
    try:
        processes.call_in_child(lambda: (group / "cgroup.procs").write_text("0"))
    finally:
        group.rmdir()
    return f"a process was moved to a new group in {group.parent}"


def _inherit(parent: Path, group: Path) -> None:
    """Copy the parent's CPUs and memory nodes; without them a version 1 group accepts no process."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (group / name).exists() and (parent / name).exists() and (parent / name).read_text().strip():
            (group / name).write_text((parent / name).read_text())


def _parents(controller: str) -> Iterator[Path]:
    """The groups in which a group may be created, the nearest first."""
    for membership in cgroups.memberships():
        if controller in membership.has:
            yield from membership.upwards()
        elif not membership.controllers:
            yield from (group for group in membership.upwards() if _offers(group, controller))


def _offers(directory: Path, controller: str) -> bool:
    """True if its children have the controller, which version 2 must enable unless it is a core one."""
    if controller in CORE:
        return True
    try:
        return controller in (directory / "cgroup.subtree_control").read_text().split()
    except OSError:
        return False


#: The largest limits that a scenario can quickly exhaust: bytes, processes.
SCARCE_MEMORY, SCARCE_PROCESSES = 512 << 20, 256


def _scarce(controller: str, files: tuple[str, ...], most: int, unit: str) -> str:
    """Return the limit on this process's groups if it is low enough to exhaust."""
    limit = limit_of(controller, files)
    if limit is None or limit > most:
        raise Absent(f"no limit of {_size(most, unit)} or less" + (f": it is {_size(limit, unit)}" if limit else ""))
    return f"a limit of {_size(limit, unit)}"


def _size(number: int, unit: str) -> str:
    return f"{number >> 20} MiB" if unit == "bytes" else f"{number} {unit}"


def limit_of(controller: str, files: tuple[str, ...]) -> int | None:
    """Return the lowest limit in `files` of this process's group and its ancestors; None if unlimited."""
    found = (folder / file for folder in _groups_of(controller) for file in files if (folder / file).is_file())
    limits = (int(text) for path in found if (text := path.read_text().strip()) != "max")
    return min((limit for limit in limits if limit < UNLIMITED), default=None)


#: Version 1 has no word for `max`: its largest limit is LONG_MAX in whole pages (mm/page_counter.c).
UNLIMITED = 1 << 62


def _groups_of(controller: str) -> Iterator[Path]:
    for membership in cgroups.memberships():
        if controller in membership.has or not membership.controllers:
            yield from membership.upwards()


#: The probes of this file, by their names in a scenario's ``needs``.
PROBES: dict[str, Look] = {
    "memcg": functools.partial(_group, "memory"),
    "cpuset": functools.partial(_group, "cpuset"),
    "freezer": functools.partial(_group, "freezer"),
    "scarce_memory": functools.partial(
        _scarce, "memory", ("memory.max", "memory.limit_in_bytes"), SCARCE_MEMORY, "bytes"
    ),
    "scarce_processes": functools.partial(_scarce, "pids", ("pids.max",), SCARCE_PROCESSES, "processes"),
}
