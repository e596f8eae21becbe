"""Runs the unit tests that touch the reference, in a program of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from bite.baseline import Ran
from bite.pytest_record import RECORD

#: The tests that make a platform, or import its parts.
TESTS = ("tests/reference", "tests/cell/diagnosis/test_snapshot.py")


def run(root: Path, temporary: Path, tests: Sequence[str], seconds: float, stop: bool) -> dict[str, Ran]:
    """Run these tests for at most `seconds`; return those that ended, by name.  Raises `subprocess.TimeoutExpired`."""
    record = temporary / "record.jsonl"
    record.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "bite.pytest_record"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_DISABLE_PLUGIN_AUTOLOAD"}
    with (temporary / "pytest.log").open("wb") as log:
        subprocess.run(
            [*command, *(["-x"] if stop else []), *tests],
            cwd=root,
            env=environment | {RECORD: str(record)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            timeout=seconds,
        )
    return _read(record)


def _read(record: Path) -> dict[str, Ran]:
    found: dict[str, Ran] = {}
    for line in record.read_bytes().splitlines() if record.exists() else ():
        found |= msgspec.json.decode(line, type=dict[str, Ran])
    return found
