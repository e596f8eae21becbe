"""The cost of the flight recorder is measured in pairs and reported."""

from __future__ import annotations

import pytest

pytest.importorskip("worldswitch.harness.bench.native._native")

from worldswitch.harness.bench import recorder_cost
from worldswitch.harness.bench.recorder_cost import Pair
from worldswitch.harness.flight import Recorder


def test_a_guest_is_timed_with_and_without_the_recorder() -> None:
    pairs = recorder_cost.measure("reference", pairs=3)
    assert len(pairs) == 3
    assert all(pair.without > 0 < pair.recorded for pair in pairs)


@pytest.mark.parametrize("recorded_first", [True, False])
def test_the_halves_take_turns(recorded_first: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, now, order = Recorder(), [0], []

    def timer(loops: int) -> float:
        before = len(recorder.read()[0])
        recorder.note(1, 2, 3)
        order.append(len(recorder.read()[0]) - before)
        now[0] += loops * (7 if order[-1] else 5)
        return loops * 9e-9

    monkeypatch.setattr(recorder_cost.time, "thread_time_ns", lambda: now[0])
    pair = recorder_cost._pair(timer, recorder, recorded_first=recorded_first)
    assert order == [int(recorded_first), int(not recorded_first)]
    assert (pair.without, pair.recorded, pair.took) == pytest.approx((5.0, 7.0, 9.0))


def test_the_report_has_the_median_difference() -> None:
    pairs = [Pair(500, 510, 1000), Pair(700, 720, 1000), Pair(500, 510, 1000)]
    assert recorder_cost.report(pairs) == "flight recorder: +10 ns (+10 .. +20) on 1000 ns a switch, +1.00%, by 3 pairs"
