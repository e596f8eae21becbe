"""Runs one shard on a worker of a cluster: a command in a folder of its own, whose run comes back as an archive."""

from __future__ import annotations

import importlib
import io
import os
import platform
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from worldswitch.harness.linux import syscalls

#: Seconds between two looks for the wish to stop, and for an interrupted shard to clean up.
PERIOD, CLEAN_UP = 1.0, 60.0
LOG_LINES = 20


@dataclass(frozen=True, slots=True)
class ShardRun:
    """A shard that has ended on a worker."""

    machine: str  #: the worker's host name
    status: int
    archive: bytes  #: a tar archive of the folder of its run; empty if it made none
    log: str  #: the last lines of its output


def run_shard(words: Sequence[str], folder: str, stop: str) -> ShardRun:
    """Run `worldswitch` with these words in `folder`, or elsewhere if this machine lacks it.

    It runs on a worker, in a thread of its pool, until the cluster's event called `stop` is set.
    """
    event = importlib.import_module("distributed").Event(stop)
    with tempfile.TemporaryDirectory(prefix="worldswitch-shard-") as work:
        return run(words, Path(folder) if Path(folder).is_dir() else Path(work), Path(work), event.is_set)


def run(words: Sequence[str], folder: Path, work: Path, is_stopped: Callable[[], bool]) -> ShardRun:
    """Run the command; `work` is an empty folder for its results.  An error of `is_stopped` stops it too."""
    results, log = work / "results", work / "log"
    command = [sys.executable, "-m", "worldswitch.harness.cli.main", *words, "--results", str(results)]
    dies = partial(syscalls.die_with_parent, os.getpid(), signal.SIGTERM)
    with log.open("wb") as output:
        child = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, preexec_fn=dies
        )
        try:
            _wait(child, is_stopped)
        finally:
            _end(child)
    lines = log.read_text(errors="replace").splitlines()
    return ShardRun(platform.node(), child.returncode, _archive(results), "\n".join(lines[-LOG_LINES:]))


def _wait(child: subprocess.Popen[bytes], is_stopped: Callable[[], bool]) -> None:
    while True:
        try:
            child.wait(PERIOD)
            return
        except subprocess.TimeoutExpired:
            if is_stopped():
                return


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(CLEAN_UP)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _archive(results: Path) -> bytes:
    buffer = io.BytesIO()
    runs = sorted(results.glob("*/run.json"))
    if not runs:
        return b""
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path in sorted(runs[-1].parent.iterdir()):
            archive.add(path, path.name, recursive=False)
    return buffer.getvalue()
