"""What scenarios themselves can do."""

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
    stage.inspect(stage.trial.platform().new_address_space())


@_declare("CO02", needs=("pid1", "memfd"))
def it_needs_what_is_not_there(stage: Any) -> None:
    """Process 1 is not ours."""
    raise AssertionError


@_declare("CO03", needs=("perpetual_motion",))
def it_needs_what_nobody_knows(stage: Any) -> None:
    """There is no such probe."""


@_declare("CO04")
def it_skips(stage: Any) -> None:
    """A scenario may not."""
    pytest.skip("not today")


@_declare("CO05")
def it_has_a_bug(stage: Any) -> None:
    """It fails by its own fault."""
    _ = {}["nothing"]


@_declare("CO06", deadline=0.3)
def it_sleeps(stage: Any) -> None:
    """It takes longer than it said."""
    stage.trial.note("so tired")
    time.sleep(60)


@_declare("CO07")
def it_repeats(stage: Any) -> None:
    """How often depends on the mode, how long on the environment."""
    said = stage.trial.repeat, stage.trial.seconds(2.0), stage.trial.probe("memfd").state
    stage.trial.note(f"{said}")
    raise AssertionError(said)


@_declare("CO08")
@pytest.mark.parametrize("number", [1, 2])
def it_comes_in_two(stage: Any, number: int) -> None:
    """Each of them is a scenario."""
    assert number


@_declare("CO09")
def it_lacks_a_fixture(stage: Any, nothing: Any) -> None:
    """Nobody gives it what it asks for."""


@_declare("CO10")
def it_notes_a_lot(stage: Any) -> None:
    """Its transcript keeps the end."""
    for number in range(20000):
        stage.trial.note(f"note {number}")
    raise AssertionError


def not_a_scenario(stage: Any) -> None:
    """No mark."""
    raise AssertionError


@_declare("CO11")
def its_thread_ends_by_an_exception(stage: Any) -> None:
    """A thread that ends roughly is the scenario's own affair."""
    thread = threading.Thread(target=sys.exit)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


@_declare("CO12")
def it_draws(stage: Any) -> None:
    """What is random depends on the seed."""
    stage.trial.note(f"drew {stage.trial.seed}")
    raise AssertionError
