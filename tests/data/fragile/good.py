"""Can be imported; whoever asks for it, loses the process that is to run it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from claims.basics import _declare


@_declare("GO01")
def it_is_fine(trial: object) -> None:
    """Nothing is wrong with it."""


class _Killer:
    def __iter__(self) -> Iterator[str]:
        os._exit(1)


if "KILL_WORKER" in os.environ and "PYTEST_XDIST_WORKER" in os.environ:
    # What the harness reads before it forks.
    it_is_fine.pytestmark[:] = [pytest.mark.scenario("GO01", clauses=(), needs=_Killer()).mark]
