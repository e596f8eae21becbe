"""A full disk is reported, and the results written before stay valid."""

from __future__ import annotations

import errno
import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest
from scripted import NAMES, SCENARIOS, Quiet, frames, place, planner, run_in, trial, whole

from worldswitch.harness.environments import plan
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.expectations.outcome import Status, status
from worldswitch.harness.results import reader, writer
from worldswitch.harness.results.errors import CannotWrite
from worldswitch.harness.run.request import Request
from worldswitch.harness.run.runner import Run
from worldswitch.harness.verdict import Verdict

GOOD = frames(whole(*map(trial, NAMES)))


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch):
    """A function that limits further writes to a number of bytes."""
    opened, left = Path.open, [1 << 30]

    class Full:
        """A file on a nearly full disk."""

        def __init__(self, file: IO[bytes]) -> None:
            self._file = file

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

        def __getattr__(self, name: str) -> object:
            return getattr(self._file, name)

        def write(self, data: bytes) -> int:
            if left[0] <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            taken = self._file.write(data[: left[0]])
            left[0] -= taken
            return taken

    def write_bytes(path: Path, data: bytes) -> None:
        with Full(opened(path, "wb", buffering=0)) as file:
            while data:
                data = data[file.write(data) :]

    def leave(count: int) -> None:
        left[0] = count
        monkeypatch.setattr(
            Path,
            "open",
            lambda path, mode="r", **how: (
                Full(opened(path, mode, **how)) if mode == "ab" else opened(path, mode, **how)
            ),
        )
        monkeypatch.setattr(Path, "write_bytes", write_bytes)

    return leave


def test_a_line_is_appended_entirely_or_not_at_all(tmp_path: Path, room) -> None:
    path = tmp_path / "a.jsonl"
    writer.append(path, b"first")
    room(4)
    with pytest.raises(CannotWrite, match=r"a\.jsonl: cannot be written: No space left on device"):
        writer.append(path, b"second")
    assert path.read_bytes() == b"first\n"


def test_a_file_is_replaced_entirely_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    writer.replace(path, b"first")
    path.with_name(".run.json.new").mkdir()
    with pytest.raises(CannotWrite, match=r"run\.json: cannot be written"):
        writer.replace(path, b"second")
    assert path.read_bytes() == b"first"


def test_on_a_full_disk_the_results_before_stay_valid(tmp_path: Path, room, monkeypatch: pytest.MonkeyPatch) -> None:
    records = tmp_path / "host.jsonl"

    def fill() -> bytes:
        while not (records.exists() and records.read_bytes().count(b"\n") == 2):
            pass
        room(20)
        return b"\n"

    first, second = place("host", [*GOOD[:4], fill, *GOOD[4:]]), place("docker:a", GOOD)
    monkeypatch.setattr(plan, "plan", planner(first, second))
    run = Run(Request(), SCENARIOS, tmp_path, Quiet())
    run.go()
    assert "host.jsonl: cannot be written: No space left" in run.outcomes[0].problem.reason
    assert "make room" in run.outcomes[0].problem.remedy
    assert first.cells[0].killed
    assert not second.cells
    assert "run.json: cannot be written: No space left" in run.outcomes[1].problem.reason
    assert "No space left" in run.unkept
    assert status(run.outcomes) is Status.COULD_NOT_RUN
    kept = reader.read(tmp_path)
    assert [one.trial.verdict.value for one in kept.cells[0].judged] == ["pass", "miss", "miss"]
    assert [one.trial.verdict for one in kept.cells[1].judged] == [Verdict.MISS] * 3


def test_without_space_no_cell_starts(tmp_path: Path, room, monkeypatch: pytest.MonkeyPatch) -> None:
    host = place("host", GOOD)
    monkeypatch.setattr(plan, "plan", planner(host))
    room(0)
    with pytest.raises(CouldNotRun, match=r"run\.json: cannot be written: No space left on device; make room"):
        Run(Request(), SCENARIOS, tmp_path, Quiet()).go()
    assert not host.cells


FULL = """
import os, sys
sys.path[:0] = {path!r}
from worldswitch.harness.linux import syscalls
os.unshare = getattr(os, "unshare", None) or syscalls.unshare
os.unshare(0x20000)
assert not os.system("mount --make-rprivate / && mount -t tmpfs -o size=12k none {folder}")
from scripted import *
from worldswitch.harness.environments import plan as environment
from worldswitch.harness.catalogue import scenarios as catalogue
from worldswitch.harness.run import request
from worldswitch.harness.cli import main as cli
from worldswitch.harness.cell.trial import Result
catalogue.scenarios = lambda: list(SCENARIOS)
request.rehearse_platform = lambda _: Result(verdict=Verdict.PASS)
long = trial(NAMES[2], reason="x" * 30000)
environment.plan = planner(place("host", frames(whole(trial(NAMES[0]), trial(NAMES[1]), long))))
status = cli.main(["run", "--results", "{folder}"])
from worldswitch.harness.results import reader as runs
print([one.trial.verdict.value for one in runs.read(runs.find("last", runs.Path("{folder}"))).cells[0].judged])
sys.exit(status)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_really_full_file_system(tmp_path: Path) -> None:
    script = FULL.format(path=sys.path, folder=tmp_path)
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    if "mount" in done.stderr and "AssertionError" in done.stderr:
        pytest.skip("mount(2) is denied")
    assert done.stdout.splitlines()[-1] == "['pass', 'pass', 'miss']", done.stderr
    assert "host.jsonl: cannot be written: No space left on device" in done.stdout
    assert done.returncode == 2, done.stderr


def test_a_clock_that_is_set_back_makes_no_run_that_ends_before_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(2_000_000_000, -3600)
    monkeypatch.setattr("time.time", lambda: float(next(clock)))
    run_in(monkeypatch, tmp_path, place("host", frames(whole(*map(trial, NAMES)))))
    kept = reader.read(tmp_path)
    assert kept.manifest.started <= kept.cells[0].plan.started <= kept.cells[0].plan.finished <= kept.manifest.finished
