"""The quick measurement: real times of the reference, or the reason for none."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from worldswitch.harness.bench import quick_cost
from worldswitch.harness.bench.workbench import Bench, Timer
from worldswitch.harness.contract import Unavailable
from worldswitch.harness.report.doctor.findings import Cost, NoCost

PR_SET_MDWE, PR_GET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 66, 1  # include/uapi/linux/prctl.h


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick_cost, "SECONDS", 0.05)


def test_a_switch_costs_more_than_the_floor_and_that_more_than_no_sandbox() -> None:
    cost = quick_cost.measure()
    assert isinstance(cost, Cost), cost
    assert cost.native.median < cost.floor.median < cost.switch.median
    assert cost.ratio.low <= cost.ratio.median <= cost.ratio.high
    assert cost.rounds >= quick_cost.FEWEST
    assert cost.switches > cost.rounds


def test_a_preempted_value_does_not_end_the_calibration() -> None:
    times = iter([9.0, 0.001, 0.001])
    values = quick_cost._Values(lambda loops: next(times, loops * 0.001))
    values.take()
    assert values.values == [0.001]
    assert values.made == 3 * (1 + 2 + 4) + 4


def test_it_imports_nothing_of_the_extra_bench() -> None:
    code = "import sys, worldswitch.harness.bench.quick_cost; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-P", "-c", code], check=True, capture_output=True, text=True).stdout
    assert not {"numpy", "scipy", "matplotlib", "pyperf", "elftools"} & set(loaded.split())


def failing(error: BaseException):
    def make(bench: Bench) -> Timer:
        raise error

    return make


def test_a_platform_that_cannot_start_says_why_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick_cost, "default_pinned", failing(Unavailable("SYSEMU is denied", "allow it")))
    assert quick_cost.measure() == NoCost("SYSEMU is denied", switched=False, remedy="allow it")


def test_a_system_s_error_names_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick_cost, "default_pinned", failing(PermissionError(1, "Operation not permitted")))
    found = quick_cost.measure()
    assert isinstance(found, NoCost)
    assert found.reason == "[Errno 1] Operation not permitted at `raise error`"


def test_a_floor_that_fails_leaves_the_switch_that_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick_cost, "traced", lambda bench, loop: failing(OSError(1, "TRACEME is denied"))(bench))
    found = quick_cost.measure()
    assert isinstance(found, NoCost)
    assert found.switched


@pytest.mark.parametrize(
    ("end", "reason"), [(lambda: os.kill(os.getpid(), 31), "killed by signal 31"), (lambda: os._exit(7), "status 7")]
)
def test_a_process_that_dies_is_no_cost(monkeypatch: pytest.MonkeyPatch, end, reason: str) -> None:
    monkeypatch.setattr(quick_cost, "default_pinned", lambda bench: end())
    found = quick_cost.measure()
    assert isinstance(found, NoCost)
    assert not found.switched
    assert reason in found.reason


def test_a_switch_that_never_ends_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick_cost, "DEADLINE", 0.3)
    monkeypatch.setattr(quick_cost, "default_pinned", lambda bench: os.read(os.pipe()[0], 1))
    assert quick_cost.measure() == NoCost("no result within 0.3 s")


def test_a_process_that_may_not_make_memory_executable_is_told_the_reason_of_a_run() -> None:
    """PR_SET_MDWE, as systemd's MemoryDenyWriteExecute sets it, cannot be undone: it is set in a child."""
    if ctypes.CDLL(None).prctl(PR_GET_MDWE, 0, 0, 0, 0) < 0:
        pytest.skip("this kernel has no PR_SET_MDWE")
    code = (
        f"import ctypes; assert ctypes.CDLL(None).prctl({PR_SET_MDWE}, {PR_MDWE_REFUSE_EXEC_GAIN}, 0, 0, 0) == 0\n"
        "from worldswitch.harness.bench import quick_cost; print(quick_cost.measure())"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "MemoryDenyWriteExecute" in done.stdout, done.stderr
    assert "switched=False" in done.stdout
