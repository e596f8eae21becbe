"""Results from pytest's reports as they come in, in the process that sees them all (with xdist, it runs no trial)."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import pytest

from worldswitch.harness.cell import records
from worldswitch.harness.cell.collection import name_of
from worldswitch.harness.cell.probes import fingerprint
from worldswitch.harness.cell.probes.kernel_facts import Observed
from worldswitch.harness.cell.records import Footer, Header, Record, Trial
from worldswitch.harness.cell.settings import Settings
from worldswitch.harness.cell.suite import ATTRIBUTE
from worldswitch.harness.verdict import Verdict


def trial_in(report: pytest.TestReport) -> Trial | None:
    """The line of results that `report` carries, if it does."""
    values = getattr(report, ATTRIBUTE, None)
    return msgspec.convert(values, Trial) if values is not None else None


class Words:
    """The verdicts' own words in pytest's output."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """A failure is counted as pytest counts it; what could not be tried is counted by its own name."""
        trial = trial_in(report) if report.when == "call" else None
        if trial is None or trial.verdict is Verdict.PASS:
            return None
        word = trial.verdict.value
        return ("failed" if report.failed else word), word[0].upper() if report.failed else word[0], word.upper()


class ReportStream:
    """Header, trials and footer, handed to `write` one by one; `begins` is told the scenario of each trial to come."""

    def __init__(
        self,
        write: Callable[[Record], object],
        settings: Settings,
        environment: dict[str, object],
        begins: Callable[[str], object] = lambda _: None,
        observed: Observed | None = None,
    ) -> None:
        self._write = write
        self._begins = begins
        self._settings = settings
        self._environment = environment
        self._observed = observed
        self.planned: tuple[str, ...] | None = None
        self.trials: list[Trial] = []
        self.broken: list[str] = []  #: modules whose scenarios could not even be planned

    @property
    def complete(self) -> bool:
        """Everything could be planned, something was, and all of it was reported."""
        reported = {trial.scenario for trial in self.trials}
        return not self.broken and bool(self.planned) and reported == set(self.planned or ())

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note what cannot be imported."""
        if report.failed and report.nodeid not in self.broken:
            self.broken.append(report.nodeid)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Without xdist, this process collects."""
        if session.items:
            self._plan(item.nodeid for item in session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """With it, every worker collects the same."""
        if self.planned is None:
            self._plan(ids)

    def _plan(self, nodeids: Iterable[str]) -> None:
        self.planned = tuple(map(name_of, nodeids))
        self._write(
            Header(
                run=f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{uuid.uuid4().hex[:8]}",
                started=time.time(),
                environment=self._environment,
                platform=self._settings.platform,
                mutant=self._settings.mutant,
                repeat=self._settings.repeat,
                seed=self._settings.seed,
                planned=self.planned,
                # A mutant is held against the reference, whose header has the facts of the same machine.
                fingerprint=fingerprint.take(
                    *(None if self._settings.mutant else self._settings.scenarios, self._settings.time_scale),
                    observed=None if self._settings.mutant else self._observed,
                ),
            )
        )

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A trial begins."""
        self._begins(name_of(nodeid))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A trial has ended."""
        trial = trial_in(report) if report.when == "call" else None
        if trial is not None:
            self.trials.append(trial)
            self._write(trial)

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """The end, unless something cut it off or part of the plan is unknown."""
        ended = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        if self.planned is not None and ended and not self.broken:
            self._write(Footer(finished=time.time(), counts=records.tally(self.trials)))


def environment_of(text: str) -> dict[str, object]:
    """The JSON object that ``--environment`` gave."""
    try:
        return {"name": "host", **msgspec.json.decode(text, type=dict[str, object])}
    except msgspec.DecodeError as error:
        raise pytest.UsageError(f"--environment: not a JSON object: {error}") from error


def observed(text: str) -> Observed | None:
    """What ``--observed`` gave, if it gave anything."""
    try:
        return msgspec.json.decode(text, type=Observed) if text else None
    except msgspec.MsgspecError as error:
        raise pytest.UsageError(f"--observed: {error}") from error


def to_file(path: str, settings: Settings, environment: str) -> ReportStream:
    """A recorder to the file at `path`, which it replaces."""
    try:
        file = Path(path).open("wb", buffering=0)  # noqa: SIM115 - open as long as the session
    except OSError as error:
        raise pytest.UsageError(f"--worldswitch-results: cannot write there: {error}") from error
    return ReportStream(
        lambda record: file.write(records.encode(record) + b"\n"), settings, environment_of(environment)
    )
