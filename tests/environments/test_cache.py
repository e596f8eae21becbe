"""A user without a home is told so."""

from __future__ import annotations

from pathlib import Path

import pytest

from worldswitch.harness.environments import cache
from worldswitch.harness.errors import Unobtainable


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", none)
    with pytest.raises(Unobtainable, match="has no home for the cache folder; set HOME or XDG_CACHE_HOME"):
        cache.cache("runs")
