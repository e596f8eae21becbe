"""One trial for each attack, and one after it in the same worker."""

from __future__ import annotations

from typing import Any

import evil
import pytest

scenario = pytest.mark.scenario
REPEAT = {"quick": 1, "normal": 1, "soak": 1}


@scenario("AT01", clauses=("test",), repeat=REPEAT, deadline=6.0)
@pytest.mark.parametrize("name", evil.names())
def it_attacks(stage: Any, name: str) -> None:
    """The platform attacks."""
    stage.trial.note(evil.ESCAPES)
    stage.trial.platform().attack(name)


@scenario("AT02", clauses=("test",), repeat=REPEAT, deadline=6.0)
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def it_does_not_notice(stage: Any, number: int) -> None:
    """The trials after the attacks pass."""
    assert stage.trial.platform().address_range
