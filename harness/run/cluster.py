"""Distributes the cells of a run among the workers of a dask.distributed cluster.

Cells are independent tasks.  The scheduler gives a lost worker's cells to another one, and gives a cell up when several
workers die of it.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import tarfile
import time
import uuid
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any

from worldswitch.harness.environments import installation
from worldswitch.harness.environments.places import Place
from worldswitch.harness.environments.protocol import Say
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.expectations.outcome import Problem
from worldswitch.harness.results import manifest
from worldswitch.harness.run import shard_task
from worldswitch.harness.run.shard_task import ShardRun

#: Seconds to wait for the scheduler, and for a worker when there is none.
ANSWER, PATIENCE = 10.0, 60.0
MOST_BYTES = 1 << 30  #: of the results that a worker sends, unpacked


class Cluster:
    """A dask.distributed cluster, as a context manager; leaving it stops the tasks that still run."""

    def __init__(self, address: str, say: Say, patience: float = PATIENCE) -> None:
        """Connect to the scheduler at `address`.  Raises `CouldNotRun`."""
        self._address = address
        self._say = say
        self._patience = patience
        self.lost: dict[str, Problem] = {}  #: the environments whose cells came to nothing
        try:
            distributed: Any = importlib.import_module("distributed")
        except ModuleNotFoundError as problem:
            command = installation.pip_install(*installation.requirements("cluster"))
            raise CouldNotRun(f"--dask needs the Python package {problem.name}; install it: {command}") from problem
        try:
            self._client = distributed.Client(address, timeout=ANSWER, set_as_default=False)
        except (OSError, ValueError) as problem:
            raise CouldNotRun(f"--dask {address}: no scheduler answers: {problem}; start one: dask scheduler") from None
        self._stop = distributed.Event(f"worldswitch-stop-{uuid.uuid4().hex}", client=self._client)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(Exception):  # the scheduler may be gone
            self._stop.set()
        self._client.close(timeout=ANSWER)

    def run(self, words: Sequence[str], places: Sequence[Place], into: Path) -> Iterator[Path]:
        """Run each place as a shard of the command `words`; yields the folder of each run below `into`."""
        count = len(places)
        futures = {
            self._client.submit(
                shard_task.run_shard,
                [*words, "--shard", f"{number}/{count}"],
                str(Path.cwd()),
                self._stop.name,
                pure=False,
            ): place
            for number, place in enumerate(places, 1)
        }
        started = time.monotonic()
        try:
            for done, (future, place) in enumerate(self._ended(dict(futures)), 1):
                machine, folder = self._taken(future, place, into)
                if folder:
                    yield folder
                left = (time.monotonic() - started) / done * (count - done)
                told = f"on {machine}" if folder else self.lost[place.name].reason
                self._say(f"{place.name}: {told} ({done} of {count}, about {left / 60:.0f} min left)")
        finally:
            for place in futures.values():
                if not (into / _safe(place.name)).exists():
                    self.lost.setdefault(place.name, Problem("the run was interrupted"))

    def _ended(self, futures: dict[Any, Place]) -> Iterator[tuple[Any, Place]]:
        """Yield the futures as they end; when no worker is left, the rest is lost."""
        seen = time.monotonic()
        while futures:
            for future in [one for one in futures if one.done()]:
                yield future, futures.pop(future)
            if not futures:
                return
            if self._has_workers():
                seen = time.monotonic()
            elif time.monotonic() - seen > self._patience:
                lack = Problem(f"the cluster at {self._address} has no worker", "start one: dask worker SCHEDULER")
                self.lost.update({place.name: lack for place in futures.values()})
                return
            time.sleep(0.2)

    def _has_workers(self) -> bool:
        try:
            return bool(self._client.scheduler_info(n_workers=-1)["workers"])
        except Exception:  # the scheduler is gone; its futures will be cancelled
            return False

    def _taken(self, future: Any, place: Place, into: Path) -> tuple[str, Path | None]:
        """Unpack the run of a place; returns the worker's machine, and no folder if the place came to nothing."""
        try:
            run: ShardRun = future.result(timeout=self._patience)
        except Exception as error:  # of the task, of its worker, or of the connection to the scheduler
            told = f"{type(error).__name__}: {error}".splitlines()[0]
            remedy = "look at the logs of the scheduler and its workers, and run again"
            self.lost[place.name] = Problem(f"the cluster gave the cell up: {told}", remedy)
            return "", None
        if not run.archive:
            why = " (internal error)" if run.status == os.EX_SOFTWARE else ""
            reason = f"on {run.machine} the command ended with status {run.status}{why} and without results"
            self.lost[place.name] = Problem(reason, "run it there: the log says why", run.log)
            return run.machine, None
        try:
            return run.machine, _unpack(run.archive, into / _safe(place.name))
        except (tarfile.TarError, zlib.error, OSError, EOFError, ValueError) as error:
            reason = f"the results that {run.machine} sent cannot be unpacked: {error}"
            self.lost[place.name] = Problem(reason, "look at the worker's log, and run again")
            return run.machine, None


def _safe(name: str) -> str:
    return name.replace(":", "-").replace("/", "-")


def _unpack(archive: bytes, folder: Path) -> Path:
    """Unpack the regular files at the top of an archive.  Raises TarError, or another error of a damaged archive."""
    folder.mkdir()
    left = MOST_BYTES
    with tarfile.open(fileobj=io.BytesIO(archive)) as content:
        for member in content:
            left -= member.size
            if left < 0:
                raise tarfile.ReadError(f"more than {MOST_BYTES} bytes")
            if member.isfile() and PurePath(member.name).name == member.name:
                file = content.extractfile(member)
                assert file
                (folder / member.name).write_bytes(file.read())
    if not (folder / manifest.FILE).exists():
        raise tarfile.ReadError(f"it has no {manifest.FILE}")
    return folder
