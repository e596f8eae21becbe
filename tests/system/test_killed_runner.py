"""A runner that is killed at any moment leaves nothing.

Its deaths are few by default; ``WORLDSWITCH_KILLS=200`` asks for more of them, and ``WORLDSWITCH_KILLS_ENGINE=docker``
or ``oci`` has them in a run with containers.
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

#: How long a run is left alone at most, in seconds: long enough for trials, and for an engine, to be under way.
LONGEST = {"host": 5.0, "docker": 20.0, "oci": 20.0}

STUBS_GONE, ALL_GONE = 1.0, 10.0


def stubs() -> list[str]:
    """Living descendants of ours in which nothing is mapped but a stub's page (and what every process has)."""
    found = []
    for pid, process in processes.descendants(os.getpid()).items():
        with contextlib.suppress(OSError):
            maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
            own = [line for line in maps if "[vsyscall]" not in line]
            if process.alive and len(own) == 1 and "r-xp 00000000 00:00 0" in own[0]:
                found.append(str(process))
    return found


def leftovers() -> list[str]:
    """Living descendants of ours, of whatever kind, mounts, and control groups of trials that are no more."""
    living = [str(process) for process in processes.descendants(os.getpid()).values() if process.alive]
    living += map(str, cgroups.stale())
    return living + [line for line in Path("/proc/self/mounts").read_text().splitlines() if "/worldswitch/" in line]


def gone_within(seconds: float, look: Callable[[], list[str]]) -> list[str]:
    """What `look` still finds at the end of the time."""
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


def test_a_living_stub_is_seen() -> None:
    platform = load_platform("reference")(Options())
    assert len(stubs()) == 1
    platform.close()
    assert not stubs()
