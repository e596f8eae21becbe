"""Benchmarks under real-time priority: their guests have it, with the kernel's limit, and no others do."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: A process measures under SCHED_FIFO; its guests make calls and do not compute.
PROCESS = """
import os, resource
from worldswitch.harness.bench.workbench import REALTIME_LIMIT, Bench, become_realtime
from worldswitch.harness.contract import Inspectable
{before}
with Bench() as bench:
    guest = bench.guest("getpid")
    for _ in range(3):
        guest.switch()
    for tid in guest.space.stub.tids:
        print(os.sched_getscheduler(tid), resource.prlimit(tid, resource.RLIMIT_RTTIME)[1] == REALTIME_LIMIT)
"""


def threads_of_a_guest(before: str) -> set[str]:
    process = subprocess.run(
        [sys.executable, "-c", PROCESS.format(before=before)], capture_output=True, text=True, timeout=60
    )
    if "PermissionError" in process.stderr:
        pytest.skip("real-time priority takes CAP_SYS_NICE")
    assert process.returncode == 0, process.stderr
    return set(process.stdout.splitlines())


def test_guests_of_real_time_benchmarks_have_real_time_priority_and_a_limit() -> None:
    assert threads_of_a_guest("become_realtime()") == {"1 True"}


def test_guests_of_other_benchmarks_have_neither() -> None:
    assert threads_of_a_guest("") == {"0 False"}
