"""A scenario whose worker dies before its trial if ``KILL_WORKER`` is set."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from claims.basics import _declare


@_declare("GO01")
def it_is_fine(trial: object) -> None:
    """It passes."""


class _Killer:
    def __iter__(self) -> Iterator[str]:
        os._exit(1)


if "KILL_WORKER" in os.environ and "PYTEST_XDIST_WORKER" in os.environ:
    # The harness reads the needs before it forks.
    it_is_fine.pytestmark[:] = [pytest.mark.scenario("GO01", clauses=(), needs=_Killer()).mark]
