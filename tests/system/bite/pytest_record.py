"""A pytest plugin that writes, as JSON lines, what each test ran and how it ended."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from bite.baseline import Ran
from bite.import_hook import FOLDER, HITS_FILE
from bite.instrument import Hits, files_of

#: The variable with the file to write.
RECORD = "WORLDSWITCH_BITE_RECORD"

SKIPPED = "skipped"  #: the problem of a test that was


class _Recorder:
    def __init__(self, path: Path) -> None:
        folder, root = Path(os.environ[FOLDER]), Path(__file__).parents[3]
        self._hits = Hits(folder, files_of(root)) if (folder / HITS_FILE).exists() else None
        self._path = path

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._seconds, self._problem = 0.0, ""
        if self._hits:
            self._hits.clear()
        result = yield
        lines = self._hits.read() if self._hits else {}
        ran = {item.nodeid: Ran(self._seconds, lines, self._problem)}
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(ran) + b"\n")
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds += report.duration
        if report.failed and not self._problem:
            crash = getattr(report.longrepr, "reprcrash", None)
            self._problem = f"{report.when}: {crash.message if crash else report.longrepr}"[:300]
        elif report.skipped:
            self._problem = SKIPPED


def pytest_configure(config: pytest.Config) -> None:
    """Register the recorder."""
    config.pluginmanager.register(_Recorder(Path(os.environ[RECORD])))
