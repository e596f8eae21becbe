"""The killer of a trial thaws its control groups and removes them."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from worldswitch.harness.cell.probes import cgroups, table
from worldswitch.harness.cell.supervisor import supervise
from worldswitch.harness.environments import run_resources
from worldswitch.harness.linux import cgroups as control_groups
from worldswitch.harness.linux import processes
from worldswitch.scenarios.stage.cgroups import group_of

SECONDS = 10.0

#: A trial that freezes a process, and itself too with the argument `itself`, and then hangs.
FREEZES = """
import os, sys, time
from worldswitch.scenarios.stage.cgroups import group_of
from worldswitch.scenarios.platform.frozen import _is_frozen
with group_of("freezer") as group:
    pid = os.fork()
    if not pid:
        os.setsid()
        time.sleep(600)
    group.add(pid)
    group.set({"freezer.state": "FROZEN", "cgroup.freeze": 1})
    while not _is_frozen(group):
        time.sleep(0.01)
    print(pid, os.getpid(), group.directory, flush=True)
    if "itself" in sys.argv:
        group.add(os.getpid())
    time.sleep(600)
"""

#: A runner whose guardian runs such a trial.
RUNNER = f"""
import sys, time
from worldswitch.harness.environments.guardian import GuardedProcess
guarded = GuardedProcess([sys.executable, "-P", "-c", {FREEZES!r}, *sys.argv[1:]])
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    if table.probe("freezer").state != "yes":
        pytest.skip(f"needs a freezer: {table.probe('freezer').detail}")
    before = groups()
    yield
    left = groups() - before
    for group in left:  # a frozen process could not be killed
        control_groups.thaw(group)
    assert left == set()


def groups() -> set[Path]:
    return {made for one in control_groups.memberships() for up in one.upwards() for made in up.glob("worldswitch-*")}


def is_gone(pid: int) -> bool:
    return processes.wait_until(lambda: processes.reap(pid) is not None or not Path(f"/proc/{pid}").exists(), SECONDS)


@pytest.mark.parametrize("frozen", ["another", "itself"])
@pytest.mark.parametrize("signo", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_stays_frozen_after_a_runners_death(frozen: str, signo: signal.Signals) -> None:
    with processes.subreaper():
        with subprocess.Popen([sys.executable, "-P", "-c", RUNNER, frozen], stdout=subprocess.PIPE) as runner:
            assert runner.stdout
            child, trial, folder = runner.stdout.readline().decode().split()
            assert Path(folder).exists()
            runner.send_signal(signo)
            runner.wait(SECONDS)
        assert is_gone(int(child))
        assert is_gone(int(trial))
        assert processes.wait_until(lambda: not Path(folder).exists(), SECONDS), f"{folder} is still there"


@pytest.mark.parametrize("frozen", ["another", "itself"])
def test_a_late_trial_is_thawed_and_killed(frozen: str) -> None:
    def body() -> bytes:
        sys.argv = ["", frozen]
        exec(FREEZES)
        return b""

    ending = supervise(body, 1)
    assert ending.late
    child, _, folder = ending.output.split()[:3]
    assert not any("SIGKILL does not end" in stray for stray in ending.strays)
    assert is_gone(int(child))
    assert not Path(folder).exists()


def test_the_group_of_a_live_process_stays() -> None:
    with group_of("freezer") as group:
        control_groups.clear()
        assert group.directory.is_dir()


def test_the_group_of_a_killed_probe_is_removed() -> None:
    group = next(iter(cgroups._parents("freezer"))) / "worldswitch-probe-4194305"  # above every pid
    group.mkdir()
    control_groups.clear()
    assert not group.exists()


def test_groups_with_other_names_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["worldswitch-123456789012", "worldswitch-4194305-0", "worldswitch-probe-4194305", "worldswitch-4194305-x"]
    for name in names:
        (tmp_path / name).mkdir()
    there = control_groups.Membership(tmp_path, ("rw", "freezer"), ("freezer",), "/")
    monkeypatch.setattr(control_groups, "memberships", lambda: iter([there]))
    control_groups.clear()
    assert sorted(path.name for path in tmp_path.iterdir()) == [names[0], names[3]]


@pytest.mark.usefixtures("cache")
def test_containers_are_thawed_before_they_are_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        contextlib.suppress(FileNotFoundError),  # already removed
        group_of("freezer") as group,
        subprocess.Popen(["sleep", "600"]) as process,
    ):
        monkeypatch.setattr(run_resources, "_control_groups", lambda _: iter([group.directory]))
        group.add(process.pid)
        group.set({"freezer.state": "FROZEN", "cgroup.freeze": 1})
        run_resources.remove("none")
        assert process.wait(SECONDS) == -signal.SIGKILL
