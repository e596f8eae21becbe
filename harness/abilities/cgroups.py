"""Which control groups this process may make: in a tree for each controller, or in one for all (cgroups(7))."""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Iterator
from pathlib import Path

from worldswitch.harness.abilities import Absent, Look

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
    pid = os.fork()
    if pid == 0:
        try:
            (group / "cgroup.procs").write_text("0")
            os._exit(0)
        except OSError as error:
            os._exit(error.errno or 1)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    group.rmdir()
    if status:
        raise OSError(status, f"{group}/cgroup.procs: {os.strerror(status)}")
    return f"a process was moved to a group of its own in {group.parent}"


def _inherit(parent: Path, group: Path) -> None:
    """Let a group have its parent's CPUs and memory: in version 1 nobody can be in it else."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (group / name).exists() and (parent / name).read_text().strip():
            (group / name).write_text((parent / name).read_text())


def _parents(controller: str) -> Iterator[Path]:
    """Where a group might be made, the nearest first."""
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
    """Whether groups in it have the controller, which version 2 leaves to choice, but for what it has in itself."""
    if controller in CORE:
        return True
    try:
        return controller in (directory / "cgroup.subtree_control").read_text().split()
    except OSError:
        return False


#: The probes of this file, by the name a scenario's ``needs`` calls each.
PROBES: dict[str, Look] = {
    "memcg": functools.partial(_group, "memory"),
    "cpuset": functools.partial(_group, "cpuset"),
    "freezer": functools.partial(_group, "freezer"),
}
