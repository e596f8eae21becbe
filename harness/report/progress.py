"""Shows a run's progress: a live table with a bar on a terminal, lines in a log; silent if asked to be."""

from __future__ import annotations

import enum
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from worldswitch.harness.cell_name import CellName
from worldswitch.harness.expectations.outcome import CellOutcome, Judged
from worldswitch.harness.legible import legible, shortened
from worldswitch.harness.report.console import STYLES, Legible
from worldswitch.harness.report.estimate import Estimate, earlier_preparation, earlier_seconds, spoken
from worldswitch.harness.report.failure import line as failure_line
from worldswitch.harness.report.outcome.causes import cause
from worldswitch.harness.run.request import Request, cpus
from worldswitch.harness.verdict import Verdict

TELL_EVERY = 30.0  #: seconds between two log lines on a run that goes on; also what counts as a long trial in a log
LONG = 2.0  #: seconds after which a terminal shows a trial as running
NARROW = 100  #: columns; a narrower terminal shows the verdicts that are no passes in one column, and no trials
CLOSING = "removing what the run started"
BAR = 24  #: columns of the bar


class Detail(enum.IntEnum):
    """How much of a run is printed: -q, by default, -v."""

    QUIET = -1  #: the counts only
    CAUSES = 0  #: an unexpected verdict, once for each cause
    TRIALS = 1  #: each trial


class Progress:
    """Shows a run in progress: steps, cells, and the first unexpected verdict of each cause.

    The run may call it from several threads.
    """

    def __init__(
        self, out: Console, request: Request, folder: Path | None = None, detail: Detail = Detail.CAUSES
    ) -> None:
        self._out = out
        self._request = request
        self._detail = detail
        self._rows: dict[CellName, _Row] = {}
        self._causes: set[tuple[Verdict, str]] = set()
        self._step: tuple[str, float] | None = None  #: the step that runs, and its monotonic start time
        told = folder if detail is not Detail.QUIET else None
        earlier = earlier_seconds(told.parent, request) if told else {}
        self._estimate = Estimate(earlier, lanes=cpus())
        self._prepared = not told
        self._preparation = earlier_preparation(told.parent, request) if told else None
        self._began = time.monotonic()
        live = out.is_terminal and detail is not Detail.QUIET
        self._live = Live(get_renderable=self._shown, console=out) if live else None
        self._over = threading.Event()
        self._logger = threading.Thread(target=self._log_running, daemon=True)

    def __enter__(self) -> Progress:
        if self._live:
            self._live.start()
        elif self._detail is not Detail.QUIET:
            self._logger.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._step = None
        if self._live:
            self._live.stop()

    def _print(self, what: str | Text) -> None:
        if self._detail is not Detail.QUIET:
            self._out.print(what)

    def _log_running(self) -> None:
        """Log every `TELL_EVERY` seconds how far the run is."""
        while not self._over.wait(TELL_EVERY):
            self._print(self._told())
            for cell, row in list(self._rows.items()):
                if running := row.running(TELL_EVERY):
                    self._print(f"{cell}: {row.verdicts.total()} of {row.planned} done; running: {running}")

    def say(self, line: str) -> None:
        """Print `line` about a step that takes a while."""
        self._step = line, time.monotonic()
        self._print(f"{line} ...")

    def run_plans(self, cells: Mapping[CellName, int]) -> None:
        """Note the planned cells, and the number of their scenarios."""
        for cell, scenarios in cells.items():
            self._estimate.plan(cell, scenarios)

    def cell_starts(self, cell: CellName) -> None:
        """Add the cell's row."""
        self._prepared = True
        self._rows[cell] = _Row()
        self._estimate.begin(cell)
        self._step = f"starting {cell}: probes and facts", time.monotonic()

    def cell_plans(self, cell: CellName, trials: int) -> None:
        """Show that the cell will run this number of trials."""
        self._step = None
        self._rows[cell].planned = trials
        self._estimate.plan(cell, trials)
        if not self._live:
            self._print(f"{cell}: {trials} trials, seed {self._request.seed}")

    def trial_begins(self, cell: CellName, scenario: str) -> None:
        """Show that a trial runs."""
        self._rows[cell].begun[scenario] = time.monotonic()

    def trial_ends(self, cell: CellName, judged: Judged) -> None:
        """Count the verdict; print the trial if it is unexpected and the first of its cause, or if all are printed."""
        row = self._rows[cell]
        row.begun.pop(judged.trial.scenario, None)
        row.verdicts[judged.trial.verdict] += 1
        self._estimate.trial(cell)
        if self._detail is Detail.TRIALS or self._is_new(judged):
            self._print(failure_line(cell, judged))

    def _is_new(self, judged: Judged) -> bool:
        key = judged.trial.verdict, cause(judged.trial)
        if judged.judgement.expected or key in self._causes:
            return False
        self._causes.add(key)
        return True

    def cell_ends(self, outcome: CellOutcome) -> None:
        """Show the cell's final counts."""
        self._step = None
        row = self._rows[outcome.cell]
        row.planned, row.verdicts, row.seconds = len(outcome.judged), outcome.verdicts, outcome.seconds
        row.begun.clear()
        self._estimate.end(outcome.cell, len(outcome.judged))
        if not self._live:
            self._print(f"{outcome.cell}: {_counts(outcome.verdicts)} in {outcome.seconds:.1f} s")

    # ------------------------------------------------------------------------------------------------- the live display

    def _shown(self) -> RenderableType:
        parts: list[RenderableType] = [self._table()] if self._rows else []
        return Group(*parts, Legible(Text(self._told(), no_wrap=True, overflow="ellipsis")), self._bar())

    def _bar(self) -> RenderableType:
        estimate = self._estimate
        return ProgressBar(total=estimate.trials or 1, completed=estimate.done, width=min(BAR, self._out.width))

    def _told(self) -> str:
        """How far the run is, the remaining time, and the step that runs before the first trial."""
        estimate = self._estimate
        parts = []
        if estimate.trials:
            parts.append(f"{estimate.done} of {estimate.trials} done ({100 * estimate.done // estimate.trials} %)")
            remaining = estimate.remaining()
            parts += [spoken(remaining)] if remaining is not None else []
            parts += [CLOSING] if estimate.is_over else []
        if self._step:
            line, since = self._step
            parts.append(f"{line} ({time.monotonic() - since:.0f} s)")
        return ", ".join([*parts, *self._preparing()]) or "starting"

    def _preparing(self) -> list[str]:
        """How far the preparation of the environments is: the part of a run before its first cell."""
        if self._prepared:
            return []
        gone = time.monotonic() - self._began
        if self._preparation is None:
            return [f"preparing for {gone:.0f} s; no earlier run tells how long it takes"]
        left = self._preparation - gone
        if left > 0:
            return [f"preparing, {spoken(left)} before the first cell"]
        return [f"preparing for {gone:.0f} s; an earlier run took {self._preparation:.0f} s"]

    def _table(self) -> Table:
        """The table: a row per cell, and as many columns as the terminal has room for."""
        rows = list(self._rows.items())
        seen = [verdict for verdict in STYLES if any(row.verdicts[verdict] for _, row in rows)]
        narrow = self._out.width < NARROW
        columns = [verdict for verdict in seen if not narrow and verdict is not Verdict.PASS]
        longest = max(len(str(cell)) for cell, _ in rows)
        other = max(len(_others(row)) for _, row in rows) if narrow else 0
        table = Table(box=None)
        for name in ("cell", "done", "pass", *(verdict.value for verdict in columns)):
            table.add_column(name, no_wrap=True)
        for name in (["others"] if narrow and other else []) + ["s"] + ([] if narrow else ["running"]):
            table.add_column(name, no_wrap=True)
        room = max(10, self._out.width - 26 - other) if narrow else max(longest, 10)
        for cell, row in rows:
            counts = (Text(str(row.verdicts[verdict] or ""), STYLES[verdict]) for verdict in (Verdict.PASS, *columns))
            others = [_others(row)] if narrow and other else []
            running = [] if narrow else [row.running(LONG)]
            name, done = shortened(legible(str(cell)), room), f"{row.verdicts.total()}/{row.planned}"
            table.add_row(name, done, *counts, *others, f"{row.elapsed:.0f}", *running)
        return table


class _Row:
    """One cell in the live table."""

    def __init__(self) -> None:
        self.planned = 0
        self.verdicts: Counter[Verdict] = Counter()
        self.begun: dict[str, float] = {}  #: monotonic start time of each running trial
        self.seconds: float | None = None
        self._started = time.monotonic()

    def running(self, long: float) -> str:
        """The trials that have run for at least `long` seconds, with the seconds."""
        now = time.monotonic()
        since = {name: now - begin for name, begin in list(self.begun.items())}
        return legible(", ".join(f"{name} {seconds:.0f} s" for name, seconds in since.items() if seconds >= long))

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._started if self.seconds is None else self.seconds


def _others(row: _Row) -> str:
    """The verdicts but passes: number and first letters."""
    return " ".join(
        f"{row.verdicts[one]} {one.value[:5]}" for one in STYLES if one is not Verdict.PASS and row.verdicts[one]
    )


def _counts(verdicts: Counter[Verdict]) -> str:
    return ", ".join(f"{verdicts[verdict]} {verdict.value}" for verdict in STYLES if verdicts[verdict]) or "nothing ran"
