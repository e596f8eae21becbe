"""Runs of different cells are merged into one; what is lost or not the same is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scripted import NAMES, expecting, frames, place, run_in, trial, whole

from worldswitch.harness.cli import main
from worldswitch.harness.expectations.judgement import Expectation
from worldswitch.harness.results import manifest, reader
from worldswitch.harness.run import shards
from worldswitch.harness.verdict import Verdict

GOOD = frames(whole(*map(trial, NAMES)))
FAILED = trial(NAMES[0], Verdict.FAIL, reason="1 == 2")
BAD = frames(whole(FAILED, *map(trial, NAMES[1:])))
CELLS = tuple(f"linux-{kernel}:{profile}" for kernel in ("5.10", "6.12") for profile in "ab")


@pytest.fixture
def shard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Run one shard of three of a small matrix; its first cell has this output."""

    def run(number: int, output=GOOD, seed: int = 7, **request: object) -> str:
        own = shards.split(CELLS, 3)[number - 1]
        folder = tmp_path / f"shard-{number}"
        folder.mkdir()
        places = [place(name, output) for name in own]
        run_in(monkeypatch, folder, *places, seed=seed, cells=tuple(own), whole=CELLS, shard=f"{number}/3", **request)
        return str(folder)

    return run


def merged(tmp_path: Path, *runs: str) -> int:
    return main.main(["merge", *runs, "--results", str(tmp_path / "all")])


def test_three_shards_are_one_run(shard, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert merged(tmp_path, *(shard(number) for number in (1, 2, 3))) == 0
    run = reader.read(reader.find("last", tmp_path / "all"))
    assert [str(cell.name) for cell in run.cells] == list(CELLS)
    assert {one.trial.verdict for cell in run.cells for one in cell.judged} == {Verdict.PASS}
    printed = capsys.readouterr().out
    assert printed.startswith("reference runs on Linux 5.10, Linux 6.12 under a, b (3 trials).\n")
    assert printed.splitlines()[-1] == "12 passed, 0 failed, 0 skipped"
    assert {path.name for path in run.folder.iterdir()} >= {"matrix.html", "matrix.md", "junit.xml"}
    assert run.manifest.request["shard"] == ""


def test_a_failure_in_one_shard_is_a_failure_of_the_whole(shard, tmp_path: Path) -> None:
    assert merged(tmp_path, shard(1), shard(2, BAD), shard(3)) == 1


def test_a_lost_shard_is_named_and_its_cells_are_misses(
    shard, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert merged(tmp_path, shard(1), shard(3)) == 2
    run = reader.read(reader.find("last", tmp_path / "all"))
    assert [str(cell.name) for cell in run.cells] == list(CELLS)
    missing = {str(cell.name) for cell in run.cells if {one.trial.verdict for one in cell.judged} == {Verdict.MISS}}
    assert missing == set(shards.split(CELLS, 3)[1])
    printed = capsys.readouterr().out
    assert "no merged run has this cell: shard 2/3 is lost" in printed
    assert "what to do: run the matrix with --shard 2/3 --seed 7, and merge again" in printed


def test_judgements_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    line = Expectation(("SG01",), frozenset({Verdict.FAIL}), "known")
    folders = []
    for name in ("docker:a", "docker:b"):
        folder = tmp_path / name[-1]
        folder.mkdir()
        known = place(name, frames(whole(FAILED, trial(NAMES[2]))))
        known.profile = expecting(line)
        run_in(monkeypatch, folder, known, seed=7)
        folders.append(str(folder))
    assert merged(tmp_path, *folders) == 0
    run = reader.read(reader.find("last", tmp_path / "all"))
    assert [cell.judged[0].judgement.reason for cell in run.cells] == ["known", "known"]


def test_runs_with_the_same_cell_are_refused(shard, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = shard(1)
    assert merged(tmp_path, one, one) == 2
    assert f"both have the cell {shards.split(CELLS, 3)[0][0]}; merge only one of them" in capsys.readouterr().err
    assert not (tmp_path / "all").exists()


def test_what_is_not_the_same_is_told(shard, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [shard(1), shard(2, seed=8, repeat="soak"), shard(3)]
    path = Path(folders[2]) / manifest.FILE
    values = json.loads(path.read_text())
    values["versions"] = {"worldswitch": "9.9"}
    values["scenarios"] = values["scenarios"][:2]
    path.write_text(json.dumps(values))
    merged(tmp_path, *folders)
    told = [line.rpartition(" has other ")[2].partition(" ")[0] for line in capsys.readouterr().out.splitlines()[:4]]
    assert told == ["seeds", "repetitions", "versions", "scenarios"]


@pytest.mark.parametrize("names", [("nowhere",), (".",)])
def test_what_is_no_run_is_refused(names: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert merged(tmp_path, *names) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("field", "value"), [("shard", "x"), ("shard", 7), ("whole", "abc"), ("whole", [1])])
def test_a_damaged_shard_is_refused(
    shard, field: str, value: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(shard(1)) / manifest.FILE
    values = json.loads(path.read_text())
    values["request"][field] = value
    path.write_text(json.dumps(values))
    assert merged(tmp_path, str(path.parent), shard(2)) == 2
    assert f"{path}: request: not a shard of a matrix: " in capsys.readouterr().err
    assert not (tmp_path / "all").exists()
