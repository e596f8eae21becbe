"""A run's resources on this machine: its folder, the lock on it, and the containers with its label.

Runner and guardian share the open file that the folder's lock is on, so the lock is held while either of them lives.
A folder whose lock is free was left behind, for example by a power cut; the next run removes it and its containers.

Everything in the cache folder (``$XDG_CACHE_HOME/worldswitch``) may be deleted at any time::

    runs/ID/lock, engine, data/    a run's lock, its engine's address, its private engine's data
    *                              downloads and build results, named after the digest of their inputs

The sockets of a private engine are in ``/run/worldswitch/ID``, since their paths must be short.  A plain runtime sees
the image there too, since the users of a container may not be allowed to enter the cache.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from worldswitch.harness.environments.cache import LABEL, cache, remove_left_folders
from worldswitch.harness.environments.guardian import GuardedProcess
from worldswitch.harness.linux import cgroups, processes, regular_file

SOCKETS = Path("/run/worldswitch")
CGROUPS = Path("/sys/fs/cgroup")
KILL_SECONDS = 3.0  #: from SIGKILL to the end of a process
API_SECONDS = 3  #: for one request to an engine that may be dying
REMOVAL_SECONDS = 4.0  #: to begin the removal of all containers of a run


class RunResources:
    """The folder, lock and guardian of one run."""

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder = folder
        self.id = folder.name
        self.lock = lock
        self.guardian: GuardedProcess | None = None
        self.closing = ExitStack()  #: objects of this process to close with the run

    @classmethod
    def create(cls) -> RunResources:
        """Create a run: a new, locked folder."""
        # `sweep` ignores hidden names: the folder is renamed once the lock is held.
        hidden = Path(tempfile.mkdtemp(prefix=".", dir=cache("runs")))
        lock = os.open(hidden / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return cls(hidden.rename(hidden.with_name(uuid.uuid4().hex[:12])), lock)

    @property
    def sockets(self) -> Path:
        """The folder of the sockets of this run's private engine."""
        return SOCKETS / self.id

    def passable(self, name: str) -> Path:
        """Make a folder next to the sockets; other users may pass through its parents but not list them."""
        folder = self.sockets / name
        folder.mkdir(parents=True, exist_ok=True)
        for parent in (SOCKETS, self.sockets):
            parent.chmod(0o711)
        return folder

    def scratch(self) -> Path:
        """Return a new folder, removed with the run."""
        return Path(tempfile.mkdtemp(dir=self.folder))

    def record_engine(self, url: str) -> None:
        """Record the address of the engine that has the run's containers, for their removal."""
        (self.folder / "engine").write_text(url)

    def close(self) -> None:
        """Remove the run; the guardian does it, as it would after this process's death."""
        with self.closing:
            self._remove()

    def _remove(self) -> None:
        if self.guardian:
            self.guardian.release()
        else:
            remove(self.id)
        with suppress(OSError):
            os.close(self.lock)


def sweep() -> None:
    """Remove the resources of runs that have no living process."""
    remove_left_folders(cache("runs"))  # of a run that was killed before its folder had its name
    for folder in _runs():
        with suppress(OSError), (folder / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_containers(folder.name)
            remove(folder.name)


def live_runs() -> set[str]:
    """Return the ids of the runs that exist; after a `sweep`, those with a living process."""
    return {folder.name for folder in _runs()}


def _runs() -> list[Path]:
    return [folder for folder in cache("runs").iterdir() if not folder.name.startswith(".")]


def remove_containers(run: str) -> None:
    """Remove a run's containers through its engine, within seconds; prints those left to standard error.

    `remove` kills what a private engine leaves, by its control groups.
    """
    with suppress(OSError):
        url = regular_file.read(cache("runs") / run / "engine").decode(errors="replace")
        left = list(_left_after_removal(url, run))
        is_own = run in url
        if left and not is_own:
            print(f"containers of run {run} are left in the engine at {url}: {'; '.join(left)}", file=sys.stderr)


def reach(url: str) -> None:
    """Connect to an engine's socket once.  Raises a plain OSError: libraries wrap it and leave a socket open."""
    if url.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(API_SECONDS)
            probe.connect(url.removeprefix("unix://"))


def _left_after_removal(url: str, run: str) -> Iterator[str]:
    try:
        # late: the import takes longer than a guardian's other work
        from worldswitch.harness.environments.docker.bounded import ERRORS, BoundedClient
    except ModuleNotFoundError as problem:
        yield f"all with the label {LABEL}={run}: there is no Python package {problem.name}"
        return
    try:
        reach(url)
        with BoundedClient(url, API_SECONDS) as client:
            until = time.monotonic() + REMOVAL_SECONDS
            for container in client.containers(all=True, filters={"label": f"{LABEL}={run}"}):
                if time.monotonic() > until:
                    yield f"{container['Id'][:12]} and those after it: the engine removes too slowly"
                    return
                try:
                    client.remove_container(container["Id"], force=True, v=True)
                except ERRORS as problem:
                    yield f"{container['Id'][:12]} cannot be removed ({problem})"
    except ERRORS as problem:
        yield f"all with the label {LABEL}={run}: the engine does not answer ({problem})"


def remove(run: str) -> None:
    """Remove a run's processes, control groups and folders."""
    deadline = time.monotonic() + KILL_SECONDS
    while (pids := _processes(run)) and time.monotonic() < deadline:
        for pid in pids:
            processes.kill_if(pid, lambda pid: pid in _processes(run))
        time.sleep(0.05)
    for group in _control_groups(run):
        with suppress(OSError):
            group.rmdir()
    for folder in (SOCKETS / run, cache("runs") / run):
        shutil.rmtree(folder, ignore_errors=True)
    for empty in (SOCKETS, Path("/run/containerd")):
        with suppress(OSError):
            empty.rmdir()


def _processes(run: str) -> set[int]:
    return {*_engine_processes(run), *_contained_processes(run)}


def _engine_processes(run: str) -> Iterator[int]:
    """Yield the private engine's daemons, found by the socket folder on their command lines."""
    needle = str(SOCKETS / run).encode()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if needle in file.read_bytes() and int(file.parent.name) != os.getpid():
                yield int(file.parent.name)


def _contained_processes(run: str) -> Iterator[int]:
    """Yield the processes in the private engine's containers, half-made ones included."""
    for group in _control_groups(run):
        cgroups.thaw(group)  # a container's group may be frozen
        with suppress(OSError):
            yield from map(int, (group / "cgroup.procs").read_text().split())


def _control_groups(run: str) -> Iterator[Path]:
    """Yield the private engine's control groups, innermost first, in every v1 and v2 hierarchy."""
    for top in (*CGROUPS.glob(f"worldswitch-{run}"), *CGROUPS.glob(f"*/worldswitch-{run}")):
        for folder, _, _ in os.walk(top, topdown=False):
            yield Path(folder)
