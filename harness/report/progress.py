"""Shows a run's progress: a live table on a terminal, a line per cell in a log."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from worldswitch.harness.cell_name import CellName
from worldswitch.harness.expectations.outcome import CellOutcome, Judged
from worldswitch.harness.report.console import STYLES
from worldswitch.harness.report.failure import failure
from worldswitch.harness.run.request import Request
from worldswitch.harness.verdict import Verdict

TELL_EVERY = 30.0  #: seconds between two log lines on long-running trials; also what counts as long in a log
LONG = 2.0  #: seconds after which a terminal shows a trial as running


class Progress:
    """Shows a run in progress: a row per cell on a terminal, a line per cell elsewhere, and each failure at once.

    The run may call it from several threads.
    """

    def __init__(self, out: Console, request: Request, folder: Path | None = None) -> None:
        self._out = out
        self._request = request
        self._folder = folder
        self._rows: dict[CellName, _Row] = {}
        self._live = Live(get_renderable=self._table, console=out) if out.is_terminal else None
        self._over = threading.Event()
        self._logger = threading.Thread(target=self._log_running, daemon=True)

    def __enter__(self) -> Progress:
        if self._live:
            self._live.start()
        else:
            self._logger.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._live:
            self._live.stop()

    def _log_running(self) -> None:
        """Log the long-running trials every `TELL_EVERY` seconds."""
        while not self._over.wait(TELL_EVERY):
            for cell, row in list(self._rows.items()):
                if running := row.running(TELL_EVERY):
                    self._out.print(f"{cell}: {row.verdicts.total()} of {row.planned} done; running: {running}")

    def say(self, line: str) -> None:
        """Print `line` about a step that takes a while."""
        self._out.print(f"{line} ...")

    def cell_starts(self, cell: CellName) -> None:
        """Add the cell's row."""
        self._rows[cell] = _Row()

    def cell_plans(self, cell: CellName, trials: int) -> None:
        """Show that the cell will run this number of trials."""
        self._rows[cell].planned = trials
        if not self._live:
            self._out.print(f"{cell}: {trials} trials, seed {self._request.seed}")

    def trial_begins(self, cell: CellName, scenario: str) -> None:
        """Show that a trial runs."""
        self._rows[cell].begun[scenario] = time.monotonic()

    def trial_ends(self, cell: CellName, judged: Judged) -> None:
        """Count the verdict, and print the failure if it is unexpected."""
        row = self._rows[cell]
        row.begun.pop(judged.trial.scenario, None)
        row.verdicts[judged.trial.verdict] += 1
        if not judged.judgement.expected and not row.has_shown(judged):
            self._out.print(failure(cell, judged, self._request, self._folder))

    def cell_ends(self, outcome: CellOutcome) -> None:
        """Show the cell's final counts."""
        row = self._rows[outcome.cell]
        row.planned, row.verdicts, row.seconds = len(outcome.judged), outcome.verdicts, outcome.seconds
        row.begun.clear()
        if not self._live:
            self._out.print(f"{outcome.cell}: {_counts(outcome.verdicts)} in {outcome.seconds:.1f} s")

    def _table(self) -> Table:
        """The table: a row per cell, a column per verdict that occurs."""
        occurring = [
            verdict
            for verdict in STYLES
            if verdict is Verdict.PASS or any(row.verdicts[verdict] for row in list(self._rows.values()))
        ]
        table = Table("cell", "done", *(verdict.value for verdict in occurring), "seconds", "running", box=None)
        for cell, row in list(self._rows.items()):
            counts = (Text(str(row.verdicts[verdict] or ""), STYLES[verdict]) for verdict in occurring)
            table.add_row(
                str(cell), f"{row.verdicts.total()}/{row.planned}", *counts, f"{row.elapsed:.0f}", row.running(LONG)
            )
        return table


class _Row:
    """One cell in the live table."""

    def __init__(self) -> None:
        self.planned = 0
        self.verdicts: Counter[Verdict] = Counter()
        self.begun: dict[str, float] = {}  #: monotonic start time of each running trial
        self.seconds: float | None = None
        self._started = time.monotonic()
        self._faults: set[str] = set()

    def has_shown(self, judged: Judged) -> bool:
        """True if a fault of the harness with the same reason was shown: one fault may stop every scenario."""
        trial = judged.trial
        known = trial.reason in self._faults
        if not trial.verdict.is_verdict:
            self._faults.add(trial.reason)
        return known

    def running(self, long: float) -> str:
        """The trials that have run for at least `long` seconds, with the seconds."""
        now = time.monotonic()
        since = {name: now - begin for name, begin in list(self.begun.items())}
        return ", ".join(f"{name} {seconds:.0f} s" for name, seconds in since.items() if seconds >= long)

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._started if self.seconds is None else self.seconds


def _counts(verdicts: Counter[Verdict]) -> str:
    return ", ".join(f"{verdicts[verdict]} {verdict.value}" for verdict in STYLES if verdicts[verdict]) or "nothing ran"
