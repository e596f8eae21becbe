"""A shard on a worker: its run comes back whole, and a wish to stop ends it."""

from __future__ import annotations

import io
import tarfile
import time
from pathlib import Path

from worldswitch.harness.run import shard_task


def test_the_run_comes_back_as_an_archive(tmp_path: Path) -> None:
    words = ["run", "--engine", "host", "--id", "SG01", "--repeat", "quick", "-n", "1"]
    run = shard_task.run(words, tmp_path, tmp_path, lambda: False)
    assert run.status == 0, run.log
    with tarfile.open(fileobj=io.BytesIO(run.archive)) as archive:
        assert {"run.json", "host.jsonl"} <= set(archive.getnames())
    assert "passed" in run.log


def test_bad_words_come_back_without_a_run(tmp_path: Path) -> None:
    run = shard_task.run(["run", "--id", "NONE"], tmp_path, tmp_path, lambda: False)
    assert (run.status, run.archive) == (2, b"")
    assert "NONE" in run.log


def test_a_wish_to_stop_ends_it_and_keeps_what_it_reached(tmp_path: Path) -> None:
    started = time.monotonic()
    words = ["run", "--engine", "host", "--repeat", "soak", "--id", "SG12"]

    def is_stopped() -> bool:
        return bool(list(tmp_path.glob("results/*/host.jsonl"))) or time.monotonic() - started > 60

    run = shard_task.run(words, tmp_path, tmp_path, is_stopped)
    assert run.status == 2, run.log
    assert run.archive
