"""The remaining time of a run: from earlier runs, else from its own rate, else unknown."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

import msgspec
import pytest
from scripted import NAMES, frames, place, run_in, trial, whole

from worldswitch.harness.cell_name import CellName
from worldswitch.harness.report.estimate import Estimate, earlier_preparation, earlier_seconds, spoken
from worldswitch.harness.results import manifest
from worldswitch.harness.run.request import Request

HOST, OTHER = CellName("host"), CellName("docker:a")
BOOTED = tuple(CellName(f"linux-{name}") for name in ("5.10", "6.12", "7.3"))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_without_a_trial_nothing_is_known() -> None:
    estimate = Estimate()
    estimate.plan(HOST, 10)
    assert (estimate.remaining(), estimate.trials, estimate.done) == (None, 10, 0)


def test_the_rate_of_this_run_is_used_for_all_cells(clock: list[float]) -> None:
    estimate = Estimate()
    estimate.plan(HOST, 10)
    estimate.plan(OTHER, 20)
    estimate.begin(HOST)
    clock[0] += 8.0
    for _ in range(4):
        estimate.trial(HOST)
    assert estimate.remaining() == pytest.approx(12.0 + 40.0)
    estimate.end(HOST, 10)
    assert estimate.remaining() == pytest.approx(20 * 0.8)


def test_the_duration_of_an_earlier_run_is_known_from_the_start(clock: list[float]) -> None:
    estimate = Estimate({HOST: 30.0})
    estimate.plan(HOST, 10)
    assert estimate.remaining() == 30.0
    estimate.begin(HOST)
    clock[0] += 12.0
    assert estimate.remaining() == 18.0
    clock[0] += 50.0
    assert estimate.remaining() == 0.0
    for _ in range(5):
        estimate.trial(HOST)
    assert estimate.remaining() == pytest.approx(62.0)  # the other half, at the pace of the first


def test_an_earlier_duration_is_scaled_by_the_pace_of_this_run(clock: list[float]) -> None:
    estimate = Estimate({HOST: 30.0, OTHER: 60.0, BOOTED[0]: 50.0})
    for cell in (HOST, OTHER, BOOTED[0]):
        estimate.plan(cell, 10)
    estimate.begin(HOST)
    clock[0] += 90.0
    estimate.end(HOST, 10)
    assert estimate.remaining() == pytest.approx(3 * 60.0 + 50.0)  # nothing is known about booted kernels yet


def test_a_booted_kernel_is_estimated_by_booted_kernels(clock: list[float]) -> None:
    estimate = Estimate()
    for cell in (HOST, *BOOTED[:2]):
        estimate.plan(cell, 10)
    for cell, seconds in ((HOST, 10.0), (BOOTED[0], 200.0)):
        estimate.begin(cell)
        clock[0] += seconds
        estimate.end(cell, 10)
    assert estimate.remaining() == pytest.approx(200.0)


def test_the_preparation_of_an_earlier_run_in_the_same_environments_is_read(tmp_path: Path) -> None:
    cell = manifest.PlannedCell(environment="host", platform="reference", file="host.jsonl", started=130.0)
    for number, profile in enumerate(("hardened", "other")):
        run = manifest.Manifest(
            run="r", started=100.0 + number, seed=1, request=asdict(Request(profiles=(profile,))), kernel="k",
            versions={}, scenarios=(), cells=(cell,),
        )  # fmt: skip
        (tmp_path / f"2026010{number}T000000").mkdir()
        (tmp_path / f"2026010{number}T000000" / manifest.FILE).write_bytes(msgspec.json.encode(run))
    assert earlier_preparation(tmp_path, Request(profiles=("hardened",), keyword="any")) == 30.0
    assert earlier_preparation(tmp_path, Request(profiles=("third",))) is None


def test_machines_run_in_parallel() -> None:
    estimate = Estimate(dict.fromkeys((HOST, *BOOTED), 60.0), lanes=2)
    for cell in (HOST, *BOOTED):
        estimate.plan(cell, 10)
    assert estimate.remaining() == 60.0 + 90.0
    estimate.lanes = 8
    assert estimate.remaining() == 60.0 + 60.0


def test_earlier_runs_of_the_same_request_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "20260102T030405-0a1b"
    folder.mkdir()
    good = frames(whole(*map(trial, NAMES)))
    run_in(monkeypatch, folder, place("host", good), place("docker:a", good, status=3), repeat="quick")
    request = Request(repeat="quick")
    assert list(earlier_seconds(tmp_path, request)) == [HOST]  # the other did not end well
    for other in (Request(repeat="soak"), Request(repeat="quick", ids=("SG01",)), Request(repeat="quick", workers=99)):
        assert earlier_seconds(tmp_path, other) == {}
    (tmp_path / "20260102T030406-0a1c").mkdir()
    (tmp_path / "20260102T030406-0a1c" / manifest.FILE).write_text("{")
    assert list(earlier_seconds(tmp_path, request)) == [HOST]
    found = msgspec.json.decode((folder / manifest.FILE).read_bytes(), type=manifest.Manifest)
    first = found.cells[0]
    assert earlier_seconds(tmp_path, request)[HOST] == (first.finished or 0) - (first.started or 0)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.1, "about 5 s left"),
        (42, "about 40 s left"),
        (80, "about 1 min left"),
        (601, "about 10 min left"),
        (9000, "about 2.5 h left"),
    ],
)
def test_a_time_is_no_more_exact_than_known(seconds: float, words: str) -> None:
    assert spoken(seconds) == words
