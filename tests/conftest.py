"""What all tests stand on, an interrupt that interrupts; and what several files use: a cache, a run with holdings."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import skips

from worldswitch.harness.environments.run_resources import RunResources


def pytest_configure(config: pytest.Config) -> None:
    """Bound what may be skipped."""
    for plugin in skips.plugins():
        config.pluginmanager.register(plugin)


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> Iterator[None]:
    """Have SIGINT interrupt us and our children, also where a shell started us in the background and has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder, empty, and not the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "worldswitch"


@pytest.fixture
def run(cache: Path) -> Iterator[RunResources]:
    """A run's holdings, given up at the end."""
    holding = RunResources.create()
    yield holding
    holding.close()
