"""Bounds which tests may be skipped: with ``CI=true`` a run fails if one was that `allowed_skips.toml` does not allow.

An entry has patterns of tests, why they may be skipped, and of what kind the machine is where they may be.
"""

from __future__ import annotations

import fnmatch
import os
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import pytest
from paths import TESTS

from worldswitch.harness.environments.images import apt_mirror

FILE = TESTS / "allowed_skips.toml"

#: What an entry's `when` may say of a machine.
CONDITIONS: Mapping[str, Callable[[], bool]] = {
    "not root": lambda: os.geteuid() != 0,
    "one CPU": lambda: len(os.sched_getaffinity(0)) < 2,
    "no dockerd": lambda: not shutil.which("dockerd"),
    "an engine runs": lambda: Path("/var/run/docker.sock").exists() or "DOCKER_HOST" in os.environ,
    "no runc or crun": lambda: not (shutil.which("runc") or shutil.which("crun")),
    "no Debian, and no mirror is named": lambda: (
        platform.freedesktop_os_release().get("ID") != "debian" and apt_mirror.MIRROR not in os.environ
    ),
    "no apt": lambda: not shutil.which("apt-get"),
    "control groups are read-only": lambda: not os.access("/sys/fs/cgroup", os.W_OK),
}


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tests that may be skipped."""

    tests: tuple[str, ...]  #: patterns of their ids
    when: str
    reason: str


def load(file: Path = FILE) -> list[Entry]:
    """The entries of a list; raises msgspec.ValidationError or, for a condition that there is not, KeyError."""
    entries = msgspec.toml.decode(file.read_bytes(), type=dict[str, list[Entry]])["skip"]
    for entry in entries:
        CONDITIONS[entry.when]
    return entries


class Skips:
    """The plugin: it collects what was skipped, and judges at the end."""

    def __init__(self, allowed: Sequence[Entry]) -> None:
        self._allowed = [entry for entry in allowed if CONDITIONS[entry.when]()]
        self._refused: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Look at a test's phase; an expected failure is no skip."""
        if report.skipped and not hasattr(report, "wasxfail"):
            self._look(report.nodeid, report.longrepr)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Look at a file: one that is skipped as a whole has no tests."""
        if report.skipped:
            self._look(report.nodeid, report.longrepr)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail the run."""
        if self._refused and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """List what must not have been skipped."""
        if self._refused:
            terminalreporter.section(f"skipped, and not allowed by {FILE.name} on this machine", red=True)
            for line in self._refused:
                terminalreporter.write_line(line)

    def _look(self, test: str, why: object) -> None:
        if not any(_covers(entry, test) for entry in self._allowed):
            self._refused.append(f"{test}: {why[2] if isinstance(why, tuple) else why}")


def _covers(entry: Entry, test: str) -> bool:
    return any(fnmatch.fnmatchcase(test, f"*{pattern}") for pattern in entry.tests)


def plugins() -> Iterator[Skips]:
    """The plugin, where continuous integration runs the tests."""
    if os.environ.get("CI") == "true":
        yield Skips(load())
