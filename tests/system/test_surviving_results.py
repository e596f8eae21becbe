"""What a run reached is kept when its folder is shared, full, read-only or gone; the exit status says so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from worldswitch.harness.results import reader

MAIN = "import sys; from worldswitch.harness.cli.main import main; sys.exit(main())"
RUN = ("run", "--engine", "host", "--repeat", "quick", "--no-chaos")
FEW = ("--id", "TT01", "--id", "SG01")
SECONDS = 240  #: for a run of a few scenarios on a busy machine

needs_mounts = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")


def command(*words: str) -> list[str]:
    return [sys.executable, "-P", "-c", MAIN, *words]


def started(results: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*RUN, "--results", str(results), *words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def ended(running: subprocess.Popen[str]) -> tuple[int, str]:
    """Return the exit status and the output."""
    try:
        output, _ = running.communicate(timeout=SECONDS)
    finally:
        running.kill()
    assert "Traceback" not in output
    return running.returncode, output


def in_small(folder: Path, options: str, words: str) -> tuple[int, str]:
    """Run a shell's `words` where `folder` is a file system of its own; MAIN is the command."""
    script = f"mount -t tmpfs -o {options} tmpfs {folder} || exit 99; {words}"
    main = " ".join(f"'{word}'" for word in command())
    running = subprocess.Popen(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", script.replace("MAIN", main)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    status, output = ended(running)
    if status == 99:
        pytest.skip("mount(2) is denied")
    return status, output


def test_three_runs_at_a_time_share_a_folder(tmp_path: Path) -> None:
    running = [started(tmp_path, *FEW) for _ in range(3)]
    statuses = [ended(one) for one in running]
    assert [status for status, _ in statuses] == [0, 0, 0], statuses
    runs = [reader.read(path.parent) for path in tmp_path.glob("*/run.json")]
    assert len({run.folder for run in runs}) == 3
    assert all(run.ran and run.manifest.finished for run in runs)
    assert reader.find("last", tmp_path) == max(runs, key=lambda run: run.manifest.started).folder


@needs_mounts
@pytest.mark.parametrize("size", ["8k", "64k"])
def test_a_full_disk_keeps_what_was_written(tmp_path: Path, size: str) -> None:
    words = f"MAIN {' '.join(RUN)} --results {tmp_path} --id 'SG*'; echo status $?"
    _, output = in_small(tmp_path, f"size={size}", f"{words}; MAIN report {tmp_path}/2*; echo report $?")
    assert "status 2\n" in output, output
    assert "No space left on device" in output
    assert "internal error" not in output


@needs_mounts
def test_a_read_only_place_is_told_at_once(tmp_path: Path) -> None:
    status, output = in_small(tmp_path, "ro", f"MAIN {' '.join((*RUN, *FEW))} --results {tmp_path}")
    assert status == 2
    assert "Read-only file system; name another place by --results" in output


def test_a_folder_that_vanishes_ends_the_run(tmp_path: Path) -> None:
    results = tmp_path / "results"
    running = started(results, "--id", "SG*")
    until = time.monotonic() + SECONDS
    while not (cells := [*results.glob("*/host.jsonl")]) and time.monotonic() < until and running.poll() is None:
        time.sleep(0.05)
    assert cells, ended(running)
    shutil.rmtree(results, ignore_errors=True)
    shutil.rmtree(results, ignore_errors=True)  # what was written meanwhile
    status, output = ended(running)
    assert status == 2, output
    assert "cannot be written: No such file or directory" in output
