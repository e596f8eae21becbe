"""Runs scenarios' trials in this process's forks, in a wanted order, on the platform as it is imported here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from worldswitch.harness.cell import exclusive
from worldswitch.harness.cell.collection import scenarios_among
from worldswitch.harness.cell.records import Trial
from worldswitch.harness.cell.report_stream import trial_in
from worldswitch.harness.cell.suite import Suite


class Trials:
    """A pytest plugin: the collected scenarios, and the records of those that ran."""

    def __init__(self) -> None:
        self.items: dict[str, pytest.Item] = {}
        self.lock: Path | None = None  #: held by the trials of all workers
        self._alone: set[str] = set()
        self._record: Trial | None = None

    def take(self, session: pytest.Session) -> None:
        """Take the collected scenarios of `session`."""
        for item, scenario in scenarios_among(session.items):
            name = item.nodeid.rpartition("/")[2]
            self.items[name] = item
            self._alone |= {name} if scenario.alone else set()
        [self._suite] = (one for one in session.config.pluginmanager.get_plugins() if isinstance(one, Suite))
        self._settings = self._suite.settings
        session.config.pluginmanager.register(self)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the record of a trial."""
        self._record = trial_in(report) or self._record

    def run(self, name: str, deadline: float) -> Trial:
        """Run one scenario for at most `deadline` seconds."""
        item, self._record = self.items[name], None
        self._suite.settings = replace(self._settings, deadline=deadline)
        with exclusive.hold(str(self.lock) if self.lock else None, alone=name in self._alone):
            item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
        assert self._record is not None
        return self._record
