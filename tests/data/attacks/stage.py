"""The stage of these scenarios."""

from __future__ import annotations

from typing import Any

import pytest

from worldswitch.harness.contract import Inspectable


class Stage:
    def __init__(self, trial: Any) -> None:
        self.trial = trial

    def inspect(self, space: object) -> Any:
        if not isinstance(space, Inspectable):
            pytest.skip(f"{type(space).__name__} is not Inspectable")
        return space


@pytest.fixture
def stage(trial: Any) -> Stage:
    """The stage of a trial."""
    return Stage(trial)
