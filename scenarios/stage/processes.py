"""What /proc shows of a process: its state, its threads, its mappings."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


def process_state(pid: int) -> str | None:
    """The one-letter state of process or thread `pid` (``R``, ``S``, ``t`` ...), or None when it is gone."""
    return _state(PROC / str(pid))


def threads_of(pid: int) -> dict[int, str]:
    """The threads of `pid` and their states; empty when it is gone."""
    try:
        tids = sorted(int(entry.name) for entry in (PROC / str(pid) / "task").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return {}
    states = {tid: _state(PROC / str(pid) / "task" / str(tid)) for tid in tids}
    return {tid: state for tid, state in states.items() if state is not None}


def descendants_of(pid: int) -> set[int]:
    """All processes below `pid`, zombies included."""
    parents = {child: _parent(PROC / str(child)) for child in (int(path.name) for path in PROC.glob("[0-9]*"))}
    found: set[int] = set()
    youngest = {pid}
    while youngest:
        youngest = {child for child, parent in parents.items() if parent in youngest} - found
        found |= youngest
    return found


def own_children() -> set[int]:
    """The children of this process, zombies included; where the kernel does not list them, all descendants.

    The list (CONFIG_PROC_CHILDREN) is much faster than a search of /proc.
    """
    try:
        lists = [(task / "children").read_text() for task in (PROC / "self/task").iterdir()]
    except OSError:
        return descendants_of(os.getpid())
    return {int(pid) for one in lists for pid in one.split()}


@dataclass(frozen=True, slots=True)
class MemoryMapping:
    """One line of /proc/PID/maps."""

    begin: int
    end: int
    permissions: str
    name: str


def mappings_of(pid: int) -> list[MemoryMapping]:
    """The mappings of `pid`, lowest first."""
    return [_mapping(line) for line in (PROC / str(pid) / "maps").read_text().splitlines()]


def resident(pid: int, address: int) -> int:
    """How many bytes of the mapping at `address` are in the page tables of `pid` (/proc/PID/smaps)."""
    lines = iter((PROC / str(pid) / "smaps").read_text().splitlines())
    next(line for line in lines if line.startswith(f"{address:x}-"))
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss:"))


def status_of(pid: int, field: str) -> str:
    """The value of one line of /proc/PID/status, such as ``SigBlk`` or ``TracerPid``."""
    lines = (PROC / str(pid) / "status").read_text().splitlines()
    return next(value.strip() for name, _, value in (line.partition(":") for line in lines) if name == field)


def _mapping(line: str) -> MemoryMapping:
    addresses, permissions, _, _, _, *name = line.split(maxsplit=5)
    begin, end = addresses.split("-")
    return MemoryMapping(int(begin, 16), int(end, 16), permissions, name[0] if name else "")


def _state(directory: Path) -> str | None:
    fields = _stat(directory)
    return fields[0] if fields else None


def _parent(directory: Path) -> int | None:
    fields = _stat(directory)
    return int(fields[1]) if fields else None


def _stat(directory: Path) -> list[str]:
    """The fields of a stat file after the name; empty when the task is gone."""
    try:
        return (directory / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
