"""What a run holds on this machine: a folder of its own, a lock on it, containers with its label.

While any process of the run lives the folder's lock is held, for a lock lasts as long as the open file it was taken
on, and runner and guardian share that.  So a folder whose lock can be had was left behind, by a power cut say, and the
next start removes it with what it names.

Under the cache directory (``$XDG_CACHE_HOME/worldswitch``), everything may be deleted at any time::

    runs/ID/lock, engine, data/    a run's lock, its engine's address, its private engine's data
    *                              what was downloaded or built, named after what it was made from

The sockets of a private engine lie in ``/run/worldswitch/ID``, since their paths must be short; there a plain runtime
sees the image, since the cache may be closed to its containers' users.
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
from typing import TYPE_CHECKING

from worldswitch.harness.environments.cache import cache
from worldswitch.harness.environments.place import LABEL
from worldswitch.harness.linux import cgroups, processes

if TYPE_CHECKING:
    from worldswitch.harness.environments.guardian import GuardedProcess

SOCKETS = Path("/run/worldswitch")
CGROUPS = Path("/sys/fs/cgroup")
KILL_SECONDS = 3.0  #: for what was sent SIGKILL to be gone
API_SECONDS = 3  #: for one request to an engine that may be dying


class RunResources:
    """The folder, lock and guardian of one run."""

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder = folder
        self.id = folder.name
        self.lock = lock
        self.guardian: GuardedProcess | None = None
        self.closing = ExitStack()  #: what of this process's own is closed with it

    @classmethod
    def create(cls) -> RunResources:
        """Take a new folder and its lock."""
        # Under a name that no sweep looks at until the lock is taken.
        hidden = Path(tempfile.mkdtemp(prefix=".", dir=cache("runs")))
        lock = os.open(hidden / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return cls(hidden.rename(hidden.with_name(uuid.uuid4().hex[:12])), lock)

    @property
    def sockets(self) -> Path:
        """Where a private engine of this run has its sockets."""
        return SOCKETS / self.id

    def scratch(self) -> Path:
        """Return a new folder that goes with the run."""
        return Path(tempfile.mkdtemp(dir=self.folder))

    def record_engine(self, url: str) -> None:
        """Note where the run's containers are, for whoever must remove them."""
        (self.folder / "engine").write_text(url)

    def close(self) -> None:
        """Give everything back: the guardian does it, as it would if we died."""
        with self.closing:
            self._give_back()

    def _give_back(self) -> None:
        if self.guardian:
            self.guardian.release()
        else:
            remove(self.id)
        with suppress(OSError):
            os.close(self.lock)


def sweep() -> None:
    """Remove what earlier runs left, if nobody of theirs is alive."""
    for folder in _runs():
        with suppress(OSError), (folder / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_containers(folder.name)
            remove(folder.name)


def live_runs() -> set[str]:
    """The runs of this place that somebody still holds; whatever exists after a sweep is one."""
    return {folder.name for folder in _runs()}


def _runs() -> list[Path]:
    return [folder for folder in cache("runs").iterdir() if not folder.name.startswith(".")]


def remove_containers(run: str) -> None:
    """Remove a run's containers through its engine; takes seconds at most, and says on stderr which it must leave.

    What an engine of the run's own leaves, `remove` ends by its control groups.
    """
    with suppress(OSError):
        url = (cache("runs") / run / "engine").read_text()
        left = list(_left_after_removal(url, run))
        is_own = run in url
        if left and not is_own:
            print(f"containers of run {run} are left in the engine at {url}: {'; '.join(left)}", file=sys.stderr)


def reach(url: str) -> None:
    """Connect to an engine's socket once.  Raises OSError, which libraries wrap thrice and leave a socket open."""
    if url.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(API_SECONDS)
            probe.connect(url.removeprefix("unix://"))


def _left_after_removal(url: str, run: str) -> Iterator[str]:
    try:
        import docker  # late: it takes longer to import than a guardian to do its work
    except ModuleNotFoundError as problem:
        yield f"all with the label {LABEL}={run}, for there is no Python package {problem.name}"
        return
    errors = (docker.errors.DockerException, OSError)
    try:
        reach(url)
        with docker.APIClient(base_url=url, version="auto", timeout=API_SECONDS) as client:
            for container in client.containers(all=True, filters={"label": f"{LABEL}={run}"}):
                try:
                    client.remove_container(container["Id"], force=True, v=True)
                except errors as problem:
                    yield f"{container['Id'][:12]} cannot be removed ({problem})"
    except errors as problem:
        yield f"all with the label {LABEL}={run}, for it does not answer ({problem})"


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
    """Yield the private engine's daemons: all of them name its socket folder on their command lines, as we may too."""
    needle = str(SOCKETS / run).encode()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if needle in file.read_bytes() and int(file.parent.name) != os.getpid():
                yield int(file.parent.name)


def _contained_processes(run: str) -> Iterator[int]:
    """Yield what runs in the private engine's containers, with its runtime's half-made ones."""
    for group in _control_groups(run):
        cgroups.thaw(group)  # a container's own may be frozen
        with suppress(OSError):
            yield from map(int, (group / "cgroup.procs").read_text().split())


def _control_groups(run: str) -> Iterator[Path]:
    """Yield the private engine's control groups, the innermost first, in every hierarchy of either version."""
    for top in (*CGROUPS.glob(f"worldswitch-{run}"), *CGROUPS.glob(f"*/worldswitch-{run}")):
        for folder, _, _ in os.walk(top, topdown=False):
            yield Path(folder)
