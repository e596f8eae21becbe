"""With ``CI=true``, a run fails if it skips a test that `allowed_skips.toml` does not allow.

An entry has patterns of tests, the machines on which they may be skipped, and the reason.
"""

from __future__ import annotations

import ctypes
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
from worldswitch.harness.environments.simulation import library
from worldswitch.harness.ptrace_denial.in_a_child import landlock_domains

FILE = TESTS / "allowed_skips.toml"

PR_GET_MDWE = 66  # include/uapi/linux/prctl.h

#: The conditions on the machine for an entry's `when`.
CONDITIONS: Mapping[str, Callable[[], bool]] = {
    "not root": lambda: os.geteuid() != 0,
    "one CPU": lambda: len(os.sched_getaffinity(0)) < 2,
    "no dockerd": lambda: not shutil.which("dockerd"),
    "no docker or mmdebstrap": lambda: not (shutil.which("docker") and shutil.which("mmdebstrap")),
    "an engine runs": lambda: Path("/var/run/docker.sock").exists() or "DOCKER_HOST" in os.environ,
    "no runc": lambda: not shutil.which("runc"),
    "no runc or crun": lambda: not (shutil.which("runc") or shutil.which("crun")),
    "no libseccomp": lambda: library.load() is None,
    "no Debian, and no mirror is named": lambda: (
        platform.freedesktop_os_release().get("ID") != "debian" and apt_mirror.MIRROR not in os.environ
    ),
    "no qemu-user": lambda: not shutil.which("qemu-x86_64-static"),
    "no gVisor": lambda: not shutil.which("runsc"),
    "no apt": lambda: not shutil.which("apt-get"),
    "the checkout is private": lambda: not all(path.stat().st_mode & 0o001 for path in TESTS.parents),
    "no PR_SET_MDWE": lambda: ctypes.CDLL(None).prctl(PR_GET_MDWE, 0, 0, 0, 0) < 0,
    "no Landlock": lambda: landlock_domains() is None,
    "control groups are read-only": lambda: not os.access("/sys/fs/cgroup", os.W_OK),
}


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tests that may be skipped."""

    tests: tuple[str, ...]  #: patterns of their ids
    when: str
    reason: str


def load(file: Path = FILE) -> list[Entry]:
    """Read the entries of a list; raises msgspec.ValidationError, or KeyError for an unknown condition."""
    entries = msgspec.toml.decode(file.read_bytes(), type=dict[str, list[Entry]])["skip"]
    for entry in entries:
        CONDITIONS[entry.when]
    return entries


class Skips:
    """The plugin that collects skips and fails the run at its end."""

    def __init__(self, allowed: Sequence[Entry]) -> None:
        self._allowed = [entry for entry in allowed if CONDITIONS[entry.when]()]
        self._refused: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Check a test; an expected failure is no skip."""
        if report.skipped and not hasattr(report, "wasxfail"):
            self._check(report.nodeid, report.longrepr)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Check a module, which may be skipped as a whole."""
        if report.skipped:
            self._check(report.nodeid, report.longrepr)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail the run if any skip is not allowed."""
        if self._refused and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """List the skips that are not allowed."""
        if self._refused:
            terminalreporter.section(f"skipped, and not allowed by {FILE.name} on this machine", red=True)
            for line in self._refused:
                terminalreporter.write_line(line)

    def _check(self, test: str, reason: object) -> None:
        if not any(_covers(entry, test) for entry in self._allowed):
            self._refused.append(f"{test}: {reason[2] if isinstance(reason, tuple) else reason}")


def _covers(entry: Entry, test: str) -> bool:
    return any(fnmatch.fnmatchcase(test, f"*{pattern}") for pattern in entry.tests)


def plugins() -> Iterator[Skips]:
    """Yield the plugin under continuous integration."""
    if os.environ.get("CI") == "true":
        yield Skips(load())
