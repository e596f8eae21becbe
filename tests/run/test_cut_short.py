"""Cells, engines and runs that end early: the results so far are written, and the rest is a miss."""

from __future__ import annotations

import base64
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from scripted import NAMES, Scripted, ScriptedCell, frames, header, place, run_in, trial, whole

from worldswitch.harness.cli import main
from worldswitch.harness.environments.guardian import GuardedProcess
from worldswitch.harness.environments.host import HostCell
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.expectations.outcome import Status, status
from worldswitch.harness.results import reader
from worldswitch.harness.results.cell_file import read_reached
from worldswitch.harness.verdict import Verdict

GOOD = frames(whole(*map(trial, NAMES)))
REACHED = frames([header(), trial(NAMES[0])])


def verdicts(folder: Path) -> dict[str, list[str]]:
    """The verdicts of each cell, in the order of the scenarios."""
    found = {}
    for cell in reader.read(folder).cells:
        by_name = {one.trial.scenario: one.trial.verdict.value for one in cell.judged}
        found[str(cell.name)] = [by_name[name] for name in NAMES]
    return found


def test_an_engine_that_dies_costs_its_cells(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    dead: list[bool] = []

    def die() -> bytes:
        dead.append(True)
        raise ConnectionError("Connection aborted: the engine is gone")

    def start(_: Sequence[str]) -> ScriptedCell:
        if dead:
            raise Unobtainable("the engine does not answer", "start it")
        return ScriptedCell([*REACHED, die])

    made = run_in(monkeypatch, tmp_path, place("host", GOOD), Scripted("docker:a", start), Scripted("docker:b", start))
    assert verdicts(tmp_path) == {
        "host": ["pass"] * 3,
        "docker:a": ["pass", "miss", "miss"],
        "docker:b": ["miss"] * 3,
    }
    kept = reader.read(tmp_path)
    assert "the engine is gone" in kept.cell("docker:a").problem.reason
    assert (kept.cell("docker:b").problem.reason, kept.cell("docker:b").problem.remedy) == (
        "the engine does not answer",
        "start it",
    )
    assert status(made.outcomes) is Status.COULD_NOT_RUN


#: A cell that sends its records so far and is then killed, as by the OOM killer.
KILLED = "import os, sys, base64; os.write(1, base64.b64decode(sys.argv[1])); os.kill(os.getpid(), 9)"


class Doomed(Scripted):
    def start(self, arguments: Sequence[str]) -> HostCell:  # type: ignore[override]
        said = base64.b64encode(b"".join(line for line in REACHED if isinstance(line, bytes))).decode()
        command = [sys.executable, "-c", KILLED, said]
        return HostCell(GuardedProcess(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE))


def test_the_results_of_a_killed_cell_are_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = run_in(monkeypatch, tmp_path, Doomed("docker:a", lambda _: ScriptedCell([])), place("docker:b", GOOD))
    assert verdicts(tmp_path) == {"docker:a": ["pass", "miss", "miss"], "docker:b": ["pass"] * 3}
    problem = reader.read(tmp_path).cell("docker:a").problem
    assert "before its results were complete" in problem.reason
    assert status(made.outcomes) is Status.COULD_NOT_RUN
    assert read_reached(tmp_path / "docker-a.jsonl").footer is None


def test_an_unexpected_verdict_of_an_incomplete_cell_is_status_1(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    failed = frames([header(), trial(NAMES[0], Verdict.FAIL)])
    made = run_in(monkeypatch, tmp_path, place("docker:a", failed, status=137))
    assert status(made.outcomes) is Status.UNEXPECTED


HANGS = """
import sys
sys.path[:0] = {path!r}
from scripted import *
from worldswitch.harness.environments import plan as environment
from worldswitch.harness.catalogue import scenarios as catalogue
from worldswitch.harness.run import request
from worldswitch.harness.cli import main as cli
from worldswitch.harness.cell.trial import Result
catalogue.scenarios = lambda: list(SCENARIOS)
request.rehearse_platform = lambda _: Result(verdict=Verdict.PASS)
good = frames(whole(*map(trial, NAMES)))
environment.plan = planner(
    place("host", good), place("docker:a", [*frames([header(), trial(NAMES[0])]), hang]), place("docker:b", good)
)
cli.main(["run", "--results", {folder!r}])
"""


def test_the_folder_of_a_killed_run_has_the_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = HANGS.format(path=sys.path, folder=str(tmp_path))
    runner = subprocess.Popen([sys.executable, "-P", "-c", script], stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while not any(path.read_bytes().count(b"\n") == 2 for path in tmp_path.glob("*/docker-a.jsonl")):
            assert time.monotonic() < until
            time.sleep(0.01)
    finally:
        runner.send_signal(signal.SIGKILL)
        runner.wait()
    folder = reader.find("last", tmp_path)
    assert verdicts(folder) == {
        "host": ["pass"] * 3,
        "docker:a": ["pass", "miss", "miss"],
        "docker:b": ["miss"] * 3,
    }
    kept = reader.read(folder)
    assert (kept.manifest.finished, kept.manifest.interrupted) == (None, False)
    assert status(kept.outcomes) is Status.COULD_NOT_RUN
    assert main.main(["expect", "update", str(folder)]) == 0
    assert "the rules expect every verdict" in capsys.readouterr().out
