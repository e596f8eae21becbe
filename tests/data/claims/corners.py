"""Scenarios with every kind of outcome of their own."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

import pytest

from claims.basics import _declare


@_declare("CO01")
def it_looks_inside(stage: Any) -> None:
    """Needs an optional part of the contract."""
    _ = stage.inspect(stage.trial.platform().new_address_space()).stub


@_declare("CO02", needs=("pid1", "memfd"))
def a_need_is_not_met(stage: Any) -> None:
    """It needs a machine booted for the run."""
    raise AssertionError


@_declare("CO03", needs=("perpetual_motion",))
def a_need_is_unknown(stage: Any) -> None:
    """It names a probe that does not exist."""


@_declare("CO04")
def it_skips(stage: Any) -> None:
    """It skips, which scenarios may not."""
    pytest.skip("not today")


@_declare("CO05")
def it_has_a_bug(stage: Any) -> None:
    """It raises an exception that is no assertion."""
    _ = {}["nothing"]


@_declare("CO06", deadline=0.3)
def it_sleeps(stage: Any) -> None:
    """It exceeds its deadline."""
    stage.trial.note("before the sleep")
    time.sleep(60)


@_declare("CO07")
def it_repeats(stage: Any) -> None:
    """It reports its repetitions, its time scale and a probe."""
    given = stage.trial.repeat, stage.trial.seconds(2.0), stage.trial.probe("memfd").state
    stage.trial.note(f"{given}")
    raise AssertionError(given)


@_declare("CO08")
@pytest.mark.parametrize("number", [1, 2])
def it_comes_in_two(stage: Any, number: int) -> None:
    """Each parameter is a trial."""
    assert number


@_declare("CO09")
def it_lacks_a_fixture(stage: Any, nothing: Any) -> None:
    """It requests a fixture that does not exist."""


@_declare("CO10")
def it_notes_a_lot(stage: Any) -> None:
    """The transcript has only the end of its notes."""
    for number in range(20000):
        stage.trial.note(f"note {number}")
    raise AssertionError


def not_a_scenario(stage: Any) -> None:
    """It has no mark."""
    raise AssertionError


@_declare("CO11")
def its_thread_ends_by_an_exception(stage: Any) -> None:
    """A thread that ends by an exception decides no verdict."""
    thread = threading.Thread(target=sys.exit)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


@_declare("CO12")
def it_draws(stage: Any) -> None:
    """It notes the seed of the trial."""
    stage.trial.note(f"drew {stage.trial.seed}")
    raise AssertionError
