"""The cost of a switch is measured on every variant, and what is measured is what it says."""

from __future__ import annotations

import pytest
from fakes import Passes

from worldswitch.harness import switch_cost


def test_every_variant_is_timed_and_told() -> None:
    values = switch_cost.interleaved("reference", rounds=2, switches_each=20)
    assert {variant.name for variant in switch_cost.VARIANTS} == values.keys()
    assert all(value > 0 for times in values.values() for value in times)
    text = switch_cost.report(values)
    assert all(variant.about in text for variant in switch_cost.VARIANTS)
    assert all(f"{above} / {below}" in text for above, below in switch_cost.RATIOS)


def test_a_guest_that_does_something_else_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dies(Passes):
        def new_context(self, *, resident: bool = False) -> object:
            class Context:
                switch = staticmethod(lambda space, state: None)

            return Context()

    monkeypatch.setattr(switch_cost, "load_platform", lambda name: Dies)
    with pytest.raises(RuntimeError, match="the guest's last event is None"):
        switch_cost.interleaved("dies", rounds=1, switches_each=2)


def test_what_the_recorder_adds_is_told() -> None:
    pairs = switch_cost.recorder_cost("reference", pairs=4, switches_each=20)
    assert len(pairs) == 4
    assert switch_cost.recorder_report([(1000.0, 1010.0), (2000.0, 2020.0), (1000.0, 1010.0)]) == (
        "flight recorder: +10 ns (+10 .. +20) on 1000 ns a switch, +1.00%, medians of 3 pairs"
    )
