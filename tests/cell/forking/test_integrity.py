"""A platform that changes a function that decides its verdict is found; its own modules are its own."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import pytest

from worldswitch.harness.cell import attribution, suite, trial
from worldswitch.harness.cell.forking import integrity


def test_nothing_has_changed() -> None:
    assert integrity.changed(integrity.parts()) == ""


def _code() -> None:
    attribution.judge.__code__ = (lambda phases, owners: None).__code__


def _method(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial.Trials, "_intact", lambda self, result: result)


CHANGES: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "worldswitch.harness.cell.suite.judge": lambda patch: patch.setattr(suite, "judge", print),
    "worldswitch.harness.cell.trial.Result": lambda patch: patch.setattr(trial, "Result", dict),
    "worldswitch.harness.cell.trial.Trials._intact": _method,
    "time.monotonic": lambda patch: patch.setattr(time, "monotonic", lambda: 0.0),
    "worldswitch.harness.cell.attribution.Owners": lambda patch: patch.delattr(attribution, "Owners"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = integrity.parts()
    CHANGES[name](monkeypatch)
    assert integrity.changed(before) == name
    monkeypatch.undo()
    assert integrity.changed(before) == ""


def test_other_code_is_found() -> None:
    before, code = integrity.parts(), attribution.judge.__code__
    try:
        _code()
        assert integrity.changed(before) == "worldswitch.harness.cell.attribution.judge"
    finally:
        attribution.judge.__code__ = code


def test_a_module_that_was_replaced_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    before = integrity.parts()
    monkeypatch.delitem(sys.modules, attribution.__name__)
    assert integrity.changed(before).startswith(attribution.__name__)
