"""A user without a home is told so, and working folders end with their process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from worldswitch.harness.environments import cache
from worldswitch.harness.errors import Unobtainable


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", none)
    with pytest.raises(Unobtainable, match="has no home for the cache folder; set HOME or XDG_CACHE_HOME"):
        cache.cache("runs")


HOLDS = """
import sys, time
from pathlib import Path
from worldswitch.harness.environments.cache import working_folder
with working_folder(Path(sys.argv[1])) as made:
    (made / "half a download").write_text("x")
    print(made, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders of any age may be removed."""
    monkeypatch.setattr(cache, "SETTLED_SECONDS", -1.0)


def held(parent: Path) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen([sys.executable, "-c", HOLDS, str(parent)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    return process, Path(process.stdout.readline().strip())


def names(parent: Path) -> Sequence[Path]:
    return sorted(parent.iterdir())


@pytest.mark.usefixtures("settled")
def test_a_killed_process_s_working_folder_is_removed_by_the_next_and_a_living_one_s_is_not(tmp_path: Path) -> None:
    (living, kept), (killed, left) = held(tmp_path), held(tmp_path)
    try:
        killed.send_signal(signal.SIGKILL)
        killed.wait(10)
        with cache.working_folder(tmp_path) as mine:
            assert names(tmp_path) == sorted([mine, kept])
            assert not left.exists()
            assert (kept / "half a download").exists()
        assert names(tmp_path) == [kept]
    finally:
        for process in (living, killed):
            process.kill()
            process.communicate(timeout=10)


def test_a_folder_that_is_about_to_be_locked_is_kept(tmp_path: Path) -> None:
    (tmp_path / ".new").mkdir()
    cache.remove_left_folders(tmp_path)
    assert (tmp_path / ".new").exists()


@pytest.mark.usefixtures("settled")
def test_only_hidden_folders_are_removed_and_no_link_is_followed(tmp_path: Path) -> None:
    for name in ("visible", ".hidden", "outside"):
        (tmp_path / name).mkdir()
    (tmp_path / ".file").touch()
    (tmp_path / ".link").symlink_to("outside")
    os.mkfifo(tmp_path / ".pipe")
    begin = time.monotonic()
    cache.remove_left_folders(tmp_path)
    assert time.monotonic() - begin < 5
    assert [path.name for path in names(tmp_path)] == [".file", ".link", ".pipe", "outside", "visible"]


def test_a_working_folder_may_be_moved_into_place(tmp_path: Path) -> None:
    with cache.working_folder(tmp_path) as made:
        made.rename(tmp_path / "whole")
    assert [path.name for path in names(tmp_path)] == ["whole"]
