"""Results from pytest's reports, written as they arrive in the process that sees all (with xdist, the controller)."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Iterable
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
    """Return the trial that `report` carries; None without one."""
    values = getattr(report, ATTRIBUTE, None)
    return msgspec.convert(values, Trial) if values is not None else None


class VerdictNames:
    """Shows the names of verdicts in pytest's output."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Count failures as pytest does, and other verdicts by name."""
        trial = trial_in(report) if report.when == "call" else None
        if trial is None or trial.verdict is Verdict.PASS:
            return None
        word = trial.verdict.value
        return ("failed" if report.failed else word), word[0].upper() if report.failed else word[0], word.upper()


class ReportStream:
    """Passes header, trials and footer to `write`; calls `begins` with the scenario before each trial."""

    def __init__(
        self,
        write: Callable[[Record], object],
        settings: Settings,
        environment: dict[str, object],
        begins: Callable[[str], object] = lambda _: None,
        observed: Observed | None = None,
        facts: Collection[str] | None = None,
    ) -> None:
        self._write = write
        self._begins = begins
        self._settings = settings
        self._environment = environment
        self._observed = observed
        self._facts = facts  #: the names of those to observe; None for all
        self._now: Callable[[], float] = time.time
        self.planned: tuple[str, ...] | None = None
        self.trials: list[Trial] = []
        self.broken: list[str] = []  #: modules that could not be collected

    @property
    def complete(self) -> bool:
        """True if all modules were collected, at least one trial was planned, and all were reported."""
        reported = {trial.scenario for trial in self.trials}
        return not self.broken and bool(self.planned) and reported == set(self.planned or ())

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note modules that cannot be imported."""
        if report.failed and report.nodeid not in self.broken:
            self.broken.append(report.nodeid)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Write the header; without xdist, this process collects."""
        if session.items:
            self._plan(item.nodeid for item in session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Write the header; with xdist, every worker collects the same items."""
        if self.planned is None:
            self._plan(ids)

    def _plan(self, nodeids: Iterable[str]) -> None:
        self.planned = tuple(map(name_of, nodeids))
        # Not the machine's clock alone, which may be set while the cell runs: a cell does not end before it starts.
        started, begun = time.time(), time.monotonic()
        self._now = lambda: started + time.monotonic() - begun
        self._write(
            Header(
                run=f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{uuid.uuid4().hex[:8]}",
                started=started,
                environment=self._environment,
                platform=self._settings.platform,
                mutant=self._settings.mutant,
                repeat=self._settings.repeat,
                seed=self._settings.seed,
                planned=self.planned,
                # A mutant is compared with the reference, whose header has the facts about the same machine.
                fingerprint=fingerprint.take(
                    None if self._settings.mutant else self._settings.scenarios,
                    self._settings.time_scale,
                    None if self._settings.mutant else self._observed,
                    self._facts,
                ),
            )
        )

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Report that a trial begins."""
        self._begins(name_of(nodeid))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write a trial that has ended."""
        trial = trial_in(report) if report.when == "call" else None
        if trial is not None:
            self.trials.append(trial)
            self._write(trial)

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Write the footer, unless the session was cut short or a module could not be collected."""
        ended = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        if self.planned is not None and ended and not self.broken:
            self._write(Footer(finished=self._now(), counts=records.tally(self.trials)))


def environment_of(text: str) -> dict[str, object]:
    """Parse the JSON object of ``--environment``; raises pytest.UsageError."""
    try:
        return {"name": "host", **msgspec.json.decode(text, type=dict[str, object])}
    except msgspec.DecodeError as error:
        raise pytest.UsageError(f"--environment: not a JSON object: {error}") from error


def observed(text: str) -> Observed | None:
    """Parse the facts of ``--observed``; None if empty; raises pytest.UsageError."""
    try:
        return msgspec.json.decode(text, type=Observed) if text else None
    except msgspec.MsgspecError as error:
        raise pytest.UsageError(f"--observed: {error}") from error


def to_file(path: str, settings: Settings, environment: str) -> ReportStream:
    """Return a stream to the file at `path`, which is replaced; raises pytest.UsageError."""
    try:
        file = Path(path).open("wb", buffering=0)  # noqa: SIM115 - open until the session ends
    except OSError as error:
        raise pytest.UsageError(f"--worldswitch-results: cannot write: {error}") from error
    return ReportStream(
        lambda record: file.write(records.encode(record) + b"\n"), settings, environment_of(environment)
    )
