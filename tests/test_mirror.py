"""Tests mirror the rooms: ``harness/run/lanes.py`` has ``tests/run/test_lanes.py``, or stands on a list."""

from __future__ import annotations

import tomllib
from pathlib import Path

from paths import ROOT, TESTS

#: A shorter file needs no test file of its own.
LONG = 60

ELSEWHERE: dict[str, str] = tomllib.loads((TESTS / "tested_elsewhere.toml").read_text())


def places() -> dict[str, Path]:
    """Every long file, below harness/ or with its folder reference/, and the file for its tests."""
    paths = [(path, ROOT / "harness") for path in sorted((ROOT / "harness").glob("*/**/*.py"))]
    paths += [(path, ROOT) for path in sorted((ROOT / "reference").glob("*.py"))]
    long = {
        path.relative_to(top): TESTS / path.relative_to(top).with_name(f"test_{path.stem.strip('_')}.py")
        for path, top in paths
        if path.name != "__init__.py" and len(path.read_text().splitlines()) > LONG
    }
    return {str(name): place for name, place in long.items()}


def test_each_long_file_has_its_test_file_or_is_listed() -> None:
    assert [name for name, place in places().items() if not place.exists() and name not in ELSEWHERE] == []


def test_the_list_names_files_that_need_it_and_tests_that_exist() -> None:
    lacking = {name for name, place in places().items() if not place.exists()}
    assert ELSEWHERE.keys() - lacking == set()
    assert [test for test in ELSEWHERE.values() if not (TESTS / test).exists()] == []
