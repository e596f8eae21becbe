"""Starvation is what others take from a trial, and never what its own processes use."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from worldswitch.harness.cell.starvation import PATIENCE, Meter, Starvation

BURN = "while True: pass"


@pytest.mark.parametrize(
    ("late", "taken", "crowd", "severe"),
    [
        (0.0, 0.0, 0.0, False),
        (0.9, 0.1, 0.1, False),  # late without others: the trial's own use
        (0.2, 1.0, 2.0, False),  # a busy machine
        (0.02, 1.0, 20.0, False),  # many threads of low priority
        (0.2, 1.0, 8.0, True),
        (0.7, 0.8, 0.0, True),  # the threads of others are not visible, or a hypervisor took the time
    ],
)
def test_the_machine_is_starved_if_others_keep_a_trial_waiting(
    late: float, taken: float, crowd: float, severe: bool
) -> None:
    assert Starvation(late, taken, crowd).is_severe is severe


def test_the_numbers_are_told() -> None:
    text = str(Starvation(0.421, 0.93, 11.25))
    assert "took 93% of the CPUs' time" in text
    assert "11.2 of their threads wanted each CPU" in text
    assert "woke late for 42% of the time" in text


def test_a_short_trial_is_not_measured() -> None:
    assert Meter().stop() is None


@pytest.fixture(name="one_cpu")
def fixture_one_cpu() -> Iterator[int]:
    """Bind this process to a CPU that it may use, so that no more than one is occupied."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield min(before)
    os.sched_setaffinity(0, before)


def measured(seconds: float) -> Starvation:
    meter = Meter()
    time.sleep(PATIENCE + seconds)
    found = meter.stop()
    assert found is not None
    return found


@pytest.mark.usefixtures("one_cpu")
def test_the_time_of_own_processes_is_not_taken_by_others() -> None:
    meter = Meter()
    time.sleep(PATIENCE + 0.2)
    begin = time.monotonic()
    children = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(4)]
    time.sleep(1.0)
    used = 0.0
    for child in children:
        child.kill()
        _, _, usage = os.wait4(child.pid, 0)
        child.returncode = -signal.SIGKILL
        used += usage.ru_utime + usage.ru_stime
    found = meter.stop()
    assert found is not None
    assert found.taken <= 1.05 - used / (time.monotonic() - begin + 0.2)


@pytest.fixture(name="others")
def fixture_others(one_cpu: int) -> Iterator[None]:
    """Processes that are no descendants of this one, and occupy its CPU."""
    script = f'for _ in 1 2 3 4 5 6 7 8; do "{sys.executable}" -c "{BURN}" >/dev/null 2>&1 & echo $!; done'
    pids = [int(word) for word in subprocess.check_output(["sh", "-c", script]).split()]
    yield
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.usefixtures("others")
def test_the_time_of_others_is_taken_and_keeps_the_heartbeat_waiting() -> None:
    found = measured(1.0)
    assert found.taken > 0.8
    assert found.late > 0.01
    assert found.crowd * (os.cpu_count() or 1) > 4
