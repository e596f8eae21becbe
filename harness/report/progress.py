"""A run's progress: a live table on a terminal, a line a cell in a log."""

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

TELL_EVERY = 30.0  #: seconds between two words of a log on trials that run for so long


LONG = 2.0  #: seconds from which on a terminal shows that a trial runs


class Progress:
    """Shows a run while it goes on: a row a cell on a terminal, a line a cell elsewhere, and each failure at once."""

    def __init__(self, out: Console, request: Request, folder: Path | None = None) -> None:
        self._out = out
        self._request = request
        self._folder = folder
        self._rows: dict[CellName, _Row] = {}
        self._live = Live(get_renderable=self._table, console=out) if out.is_terminal else None
        self._over = threading.Event()
        self._teller = threading.Thread(target=self._tell_what_runs, daemon=True)

    def __enter__(self) -> Progress:
        if self._live:
            self._live.start()
        else:
            self._teller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._live:
            self._live.stop()

    def _tell_what_runs(self) -> None:
        """In a log, say now and then what runs for long."""
        while not self._over.wait(TELL_EVERY):
            for cell, row in list(self._rows.items()):
                if running := row.running(TELL_EVERY):
                    self._out.print(f"{cell}: {row.verdicts.total()} of {row.planned} done; running: {running}")

    def say(self, line: str) -> None:
        """What is being done that takes a while."""
        self._out.print(f"{line} ...")

    def cell_starts(self, cell: CellName) -> None:
        """A cell starts."""
        self._rows[cell] = _Row()

    def cell_plans(self, cell: CellName, trials: int) -> None:
        """It is about to run so many trials."""
        self._rows[cell].planned = trials
        if not self._live:
            self._out.print(f"{cell}: {trials} trials, seed {self._request.seed}")

    def trial_begins(self, cell: CellName, scenario: str) -> None:
        """A trial of a started cell begins."""
        self._rows[cell].begun[scenario] = time.monotonic()

    def trial_ends(self, cell: CellName, judged: Judged) -> None:
        """One more trial of a started cell has a verdict."""
        row = self._rows[cell]
        row.begun.pop(judged.trial.scenario, None)
        row.verdicts[judged.trial.verdict] += 1
        if not judged.judgement.expected and not row.has_shown(judged):
            self._out.print(failure(cell, judged, self._request, self._folder))

    def cell_ends(self, outcome: CellOutcome) -> None:
        """The cell is done; all its trials have been shown."""
        row = self._rows[outcome.cell]
        row.planned, row.verdicts, row.seconds = len(outcome.judged), outcome.verdicts, outcome.seconds
        row.begun.clear()
        if not self._live:
            self._out.print(f"{outcome.cell}: {_counts(outcome.verdicts)} in {outcome.seconds:.1f} s")

    def _table(self) -> Table:
        """Draw a row a cell, and of the verdicts those that occur: the rest would only take room."""
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
        self.begun: dict[str, float] = {}  #: since when each trial runs
        self.seconds: float | None = None
        self._started = time.monotonic()
        self._faults: set[str] = set()

    def has_shown(self, judged: Judged) -> bool:
        """Whether this is one more of the same: what stops the harness once may stop it for every scenario."""
        trial = judged.trial
        known = trial.reason in self._faults
        if not trial.verdict.is_verdict:
            self._faults.add(trial.reason)
        return known

    def running(self, long: float) -> str:
        """The trials that have been running for so many seconds, and for how many."""
        now = time.monotonic()
        since = {name: now - begin for name, begin in list(self.begun.items())}
        return ", ".join(f"{name} {seconds:.0f} s" for name, seconds in since.items() if seconds >= long)

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._started if self.seconds is None else self.seconds


def _counts(verdicts: Counter[Verdict]) -> str:
    return ", ".join(f"{verdicts[verdict]} {verdict.value}" for verdict in STYLES if verdicts[verdict]) or "nothing ran"
