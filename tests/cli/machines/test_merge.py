"""`worldswitch merge` makes one run with its page, or none at all."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from scripted import NAMES, frames, place, run_in, trial, whole

from worldswitch.harness.cli import main
from worldswitch.harness.results import manifest, reader

GOOD = frames(whole(*(trial(name) for name in NAMES)))


def shard(patch: pytest.MonkeyPatch, folder: Path, environment: str) -> Path:
    folder.mkdir(parents=True)
    run_in(patch, folder, place(environment, GOOD), seed=1)
    kept = reader.read(folder).manifest
    request = {**kept.request, "whole": ("host", "docker:a", "docker:b")}
    (folder / manifest.FILE).write_bytes(msgspec.json.encode(msgspec.structs.replace(kept, request=request)))
    return folder


def merge(capsys: pytest.CaptureFixture[str], results: Path, *runs: Path) -> tuple[int, str, str]:
    status = main.main(["merge", *map(str, runs), "--results", str(results)])
    return status, *capsys.readouterr()


def test_shards_become_one_run_with_its_reports(monkeypatch, capsys, tmp_path: Path) -> None:
    runs = [shard(monkeypatch, tmp_path / "in" / name[-1], name) for name in ("host", "docker:a", "docker:b")]
    status, out, err = merge(capsys, tmp_path / "out", *runs)
    assert (status, err) == (0, "")
    assert out.splitlines()[-1] == "9 passed, 0 failed, 0 skipped"
    (folder,) = (tmp_path / "out").iterdir()
    assert {"run.json", "junit.xml", "matrix.html"} <= {path.name for path in folder.iterdir()}


def test_a_lost_shard_could_not_run(monkeypatch, capsys, tmp_path: Path) -> None:
    status, out, _ = merge(capsys, tmp_path / "out", shard(monkeypatch, tmp_path / "in", "host"))
    assert status == 2
    assert "no merged run has this cell" in out


def test_runs_that_contradict_leave_no_run(monkeypatch, capsys, tmp_path: Path) -> None:
    runs = [shard(monkeypatch, tmp_path / "in" / name, "host") for name in "ab"]
    status, out, err = merge(capsys, tmp_path / "out", *runs)
    assert (status, out) == (2, "")
    assert "host also ran in" in err
    assert list((tmp_path / "out").iterdir()) == []
