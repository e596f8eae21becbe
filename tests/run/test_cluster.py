"""Three workers run the cells of a run; one is killed, and its cell runs again on another."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest

from worldswitch.harness.environments.places import Place
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.results import reader
from worldswitch.harness.run.cluster import Cluster
from worldswitch.harness.run.shard_task import ShardRun

pytest.importorskip("distributed")

WORDS = ("run", "--engine", "host", "--repeat", "quick", "-n", "1")
SECONDS = 120.0


def start(module: str, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", f"distributed.cli.{module}", *arguments, "--no-dashboard"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def ended(*processes: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """The address of a scheduler."""
    file = tmp_path / "scheduler.json"
    with ended(start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file))):
        yield address_in(file)


def address_in(file: Path) -> str:
    """The address that a scheduler writes to a file."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(OSError, ValueError):
            return str(json.loads(file.read_text())["address"])
        time.sleep(0.1)
    raise AssertionError("no scheduler came up")


def worker(address: str) -> subprocess.Popen[bytes]:
    return start("dask_worker", address, "--nthreads", "1", "--no-nanny")


def shards_of(worker: subprocess.Popen[bytes]) -> list[int]:
    """The processes that a worker started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if path.read_text().rpartition(")")[2].split()[1] == str(worker.pid):
                found.append(int(path.parent.name))
    return found


def test_a_lost_workers_cell_runs_elsewhere(scheduler: str, tmp_path: Path) -> None:
    # One cell, which takes a while: it is sure to be on the worker that is killed.
    words = [*WORDS, "--id", "SG0*"]
    said: list[str] = []
    into = tmp_path / "runs"
    into.mkdir()
    workers = [worker(scheduler) for _ in range(3)]
    with ended(*workers), Cluster(scheduler, said.append) as cluster:
        coming = cluster.run(words, [Place("host")], into)
        killed = kill_the_busy_one_later(workers)
        folders = list(coming)
    assert killed.wait(SECONDS) == 0, "no worker was busy"
    (folder,) = folders
    run = reader.read(folder)
    assert cluster.lost == {}
    assert {judged.trial.verdict.value for judged in run.cells[0].judged} == {"pass"}
    assert len(said) == 1
    assert said[0].startswith("host: on ")


def kill_the_busy_one_later(workers: list[subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    """Start a process that kills the first worker with a child, and ends with 0 after that."""
    pids = [worker.pid for worker in workers]
    script = f"""
import os, signal, sys, time
from pathlib import Path
from unittest.mock import Mock
end = time.monotonic() + {SECONDS}
while time.monotonic() < end:
    for pid in {pids}:
        if any(p.read_text().strip() for p in Path(f"/proc/{{pid}}/task").glob("*/children")):
            time.sleep(1)
            os.kill(pid, signal.SIGKILL)
            sys.exit(0)
    time.sleep(0.05)
sys.exit(1)
"""
    return subprocess.Popen([sys.executable, "-c", script])


def test_the_shards_of_a_killed_worker_end(scheduler: str, tmp_path: Path) -> None:
    into = tmp_path / "runs"
    into.mkdir()
    one = worker(scheduler)
    with ended(one), Cluster(scheduler, lambda _: None, patience=5.0) as cluster:
        killer = kill_the_busy_one_later([one])
        words = ["run", "--engine", "host", "--id", "SG12", "--repeat", "soak"]
        assert list(cluster.run(words, [Place("host")], into)) == []
        assert killer.wait(SECONDS) == 0
    assert "has no worker" in cluster.lost["host"].reason
    assert shards_of(one) == []


def test_an_address_without_a_scheduler_is_refused() -> None:
    with pytest.raises(CouldNotRun, match=r"--dask tcp://127\.0\.0\.1:1: no scheduler answers"):
        Cluster("tcp://127.0.0.1:1", lambda _: None)


def test_a_command_that_makes_no_run_is_told(scheduler: str, tmp_path: Path) -> None:
    with ended(worker(scheduler)), Cluster(scheduler, lambda _: None) as cluster:
        assert list(cluster.run(["run", "--id", "NONE"], [Place("host")], tmp_path)) == []
    assert "ended with status 2 and without results" in cluster.lost["host"].reason
    assert "NONE" in cluster.lost["host"].log


def test_a_lost_scheduler_costs_its_cells_and_no_more(tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    scheduler = start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file))
    with ended(scheduler):
        address = address_in(file)
        busy = worker(address)
        with ended(busy), Cluster(address, lambda _: None, patience=5.0) as cluster:
            threading.Timer(5, scheduler.kill).start()
            words = ["run", "--engine", "host", "--id", "SG12", "--repeat", "soak"]
            assert list(cluster.run(words, [Place("host")], tmp_path)) == []
    assert "the cluster gave the cell up" in cluster.lost["host"].reason
    assert cluster.lost["host"].remedy


def test_a_defect_on_a_worker_is_told_apart_from_a_refusal(scheduler: str, tmp_path: Path) -> None:
    future = Mock()
    with Cluster(scheduler, lambda _: None) as cluster:
        for status, words in (
            (os.EX_SOFTWARE, "status 70 (internal error) and"),
            (2, "status 2 and"),
        ):
            future.result.return_value = ShardRun("a", status, b"", "internal error: KeyError")
            assert cluster._taken(future, Place("host"), tmp_path) == ("a", None)
            assert words in cluster.lost["host"].reason
            assert cluster.lost["host"].log == "internal error: KeyError"
