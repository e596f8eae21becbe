"""A runner that is killed at any moment leaves no process, mount or control group.

It is killed a few times by default, ``WORLDSWITCH_KILLS=200`` times on request; ``WORLDSWITCH_KILLS_ENGINE=docker``
or ``oci`` kills a run with containers.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from worldswitch.harness.catalogue.platforms import load_platform
from worldswitch.harness.contract import Options
from worldswitch.harness.linux import cgroups, processes

KILLS = int(os.environ.get("WORLDSWITCH_KILLS", "3"))
ENGINE = os.environ.get("WORLDSWITCH_KILLS_ENGINE", "host")
SEED = int(os.environ.get("WORLDSWITCH_KILLS_SEED", "0")) or random.SystemRandom().randrange(1 << 32)

#: Seconds until the kill, at most: long enough for an engine to start and trials to run.
LONGEST = {"host": 5.0, "docker": 20.0, "oci": 20.0}

STUBS_GONE, ALL_GONE = 1.0, 10.0


def stubs() -> list[str]:
    """Return live descendants with no mapping but a stub's page and those that every process has."""
    found = []
    for pid, process in processes.descendants(os.getpid()).items():
        with contextlib.suppress(OSError):
            maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
            own = [line for line in maps if "[vsyscall]" not in line]
            if process.alive and len(own) == 1 and "r-xp 00000000 00:00 0" in own[0]:
                found.append(str(process))
    return found


def leftovers() -> list[str]:
    """Return live descendants, mounts, and control groups of ended trials."""
    live = [str(process) for process in processes.descendants(os.getpid()).values() if process.alive]
    live += map(str, cgroups.stale())
    return live + [line for line in Path("/proc/self/mounts").read_text().splitlines() if "/worldswitch/" in line]


def gone_within(seconds: float, look: Callable[[], list[str]]) -> list[str]:
    """Return the last result of `look`, polled until it is empty or the time is over."""
    until = time.monotonic() + seconds
    while (found := look()) and time.monotonic() < until:
        time.sleep(0.02)
    return found


@pytest.mark.parametrize("moment", range(KILLS))
def test_a_killed_runner_leaves_nothing(moment: int, tmp_path: Path) -> None:
    seconds = random.Random(f"{SEED}/{moment}").uniform(0, LONGEST[ENGINE])
    main = "import sys; from worldswitch.harness.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-P", "-c", main, "run", "--engine", ENGINE, "--repeat", "quick"]
    mounts = set(leftovers())
    with processes.subreaper():
        with open(tmp_path / "log", "wb") as log:
            runner = subprocess.Popen([*command, "--results", str(tmp_path)], stdout=log, stderr=log)
        with contextlib.suppress(subprocess.TimeoutExpired):
            runner.wait(seconds)
        runner.send_signal(signal.SIGKILL)
        assert runner.wait() == -signal.SIGKILL, (tmp_path / "log").read_text()
        told = f"killed after {seconds:.3f} s (WORLDSWITCH_KILLS_SEED={SEED})"
        assert not gone_within(STUBS_GONE, stubs), told
        assert not gone_within(ALL_GONE - STUBS_GONE, lambda: sorted(set(leftovers()) - mounts)), told
        for pid in processes.descendants(os.getpid()):
            processes.reap(pid)


def test_a_live_stub_is_detected() -> None:
    platform = load_platform("reference")(Options())
    assert len(stubs()) == 1
    platform.close()
    assert not stubs()
