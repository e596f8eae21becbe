"""What several files of tests use: a cache folder of their own, and a run that holds things there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from worldswitch.harness.holdings import Holdings


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder, empty, and not the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "worldswitch"


@pytest.fixture
def run(cache: Path) -> Iterator[Holdings]:
    """A run's holdings, given up at the end."""
    holding = Holdings.create()
    yield holding
    holding.close()
