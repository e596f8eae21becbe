"""Fixtures for several files: SIGINT, an empty cache, the resources of a run."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import skips

from worldswitch.harness.environments.run_resources import RunResources


def pytest_configure(config: pytest.Config) -> None:
    """Register the check of skipped tests."""
    for plugin in skips.plugins():
        config.pluginmanager.register(plugin)


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> Iterator[None]:
    """Restore SIGINT, which a shell ignores in background processes, for this process and its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder instead of the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "worldswitch"


@pytest.fixture
def run(cache: Path) -> Iterator[RunResources]:
    """The resources of a run, removed at the end."""
    resources = RunResources.create()
    yield resources
    resources.close()
