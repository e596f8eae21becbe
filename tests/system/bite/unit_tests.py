"""Runs the unit tests that touch the reference, in a program of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from bite.baseline import Ran
from bite.pytest_record import RECORD, SKIPPED

#: The tests that make a platform, or import its parts.
TESTS = ("tests/reference", "tests/cell/diagnosis/test_snapshot.py")


class Ended(Exception):
    """The program that runs the tests ended before them; the argument is its last line."""


def run(root: Path, temporary: Path, tests: Sequence[str], seconds: float, stop: bool) -> dict[str, Ran]:
    """Run these tests for at most `seconds`, or to the first failure; return those that ended, by function.

    Raises `Ended` and `subprocess.TimeoutExpired`.
    """
    record = temporary / "record.jsonl"
    record.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "bite.pytest_record"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_DISABLE_PLUGIN_AUTOLOAD"}
    with (temporary / "pytest.log").open("wb") as log:
        status = subprocess.run(
            [*command, *(["-x"] if stop else []), *tests],
            cwd=root,
            env=environment | {RECORD: str(record)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            timeout=seconds,
        ).returncode
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        said = (temporary / "pytest.log").read_text(errors="replace").strip().splitlines()
        raise Ended("".join(said[-1:])[:300])
    return _read(record)


def _read(record: Path) -> dict[str, Ran]:
    """Return the functions in a record; their parameters may be addresses, which change from run to run."""
    found: dict[str, Ran] = {}
    for line in record.read_bytes().splitlines() if record.exists() else ():
        [(name, ran)] = msgspec.json.decode(line, type=dict[str, Ran]).items()
        function = name.partition("[")[0]
        found[function] = _both(found[function], ran) if function in found else ran
    return found


def _both(one: Ran, other: Ran) -> Ran:
    problems = [problem for problem in (one.problem, other.problem) if problem != SKIPPED]
    lines = {
        file: sorted({*one.lines.get(file, ()), *other.lines.get(file, ())}) for file in {*one.lines, *other.lines}
    }
    return Ran(one.seconds + other.seconds, lines, max(problems) if problems else SKIPPED)
