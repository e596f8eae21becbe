"""A run as text: a live table for people who watch, plain lines for logs, and at the end what there is to know."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from worldswitch.harness import beside, diagnosis_text, repro
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.outcome import CellOutcome, Judged, Stale, tally
from worldswitch.harness.request import Request
from worldswitch.harness.results import Trial
from worldswitch.harness.verdict import Verdict

LINES = 40  #: of a long text, its last: the end says most, and the results have it all

LOG_WIDTH = 320  #: of a table in a log, where nothing need be cut

TELL_EVERY = 30.0  #: seconds between two words of a log on trials that run for so long

PAGE = "matrix.html"  #: in a run's folder, if there is anything to compare

LONG = 2.0  #: seconds from which on a terminal shows that a trial runs

IDS = 12  #: of those that share a reason, so many are named

STYLES = {
    Verdict.PASS: "green",
    Verdict.UNSUPPORTED: "dim",
    Verdict.BLOCKED: "dim",
    Verdict.FAIL: "bold red",
    Verdict.TIMEOUT: "bold red",
    Verdict.CRASH: "bold red",
    Verdict.ERROR: "bold magenta",
    Verdict.MISS: "bold magenta",
}


def console() -> Console:
    """Where reports go: standard output, with colour and movement only where somebody watches."""
    out = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    if not out.is_terminal:
        out.width = LOG_WIDTH
    return out


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


def failure(cell: CellName, judged: Judged, request: Request, folder: Path | None = None) -> Text:
    """The block on one trial that was not as expected: the claim, what spoke against it, and the way there."""
    trial = judged.trial
    head = f"{trial.verdict.value.upper()} {' '.join(trial.ids)} {trial.scenario} in {cell}"
    block = Text(f"\n{head}", style=STYLES[trial.verdict])
    parts = (
        ("claim", [trial.claim]),
        ("verdict", [f"{trial.verdict.value}, {judged.judgement} ({trial.seconds:.1f} s)"]),
        ("reason", trial.reason.splitlines()),
        ("assertion", _end(trial.detail.splitlines())),
        ("transcript", _end(trial.transcript)),
        ("events", diagnosis_text.events(trial.diagnosis)),
        ("processes", diagnosis_text.processes(trial.diagnosis)),
        ("output", _end(diagnosis_text.output(trial.output).splitlines())),
        ("again", [repro.line(cell, trial.scenario, folder)] if folder else []),
        ("same as", [request.again(cell, trial.scenario)]),
    )
    for name, lines in parts:
        if lines:
            block.append(f"\n  {name:<11}" + f"\n  {'':<11}".join(lines), style="default")
    return block


def _end(lines: Sequence[str]) -> Sequence[str]:
    left_out = len(lines) - LINES
    return lines if left_out <= 0 else [f"... {left_out} lines before", *lines[-LINES:]]


def summary(
    outcomes: Sequence[CellOutcome], folder: Path, seed: int, out: Console, stale: Sequence[Stale] = ()
) -> None:
    """All there is to know at the end; the last line is plain, for programs."""
    for outcome in outcomes:
        if outcome.problem:
            _print_problem(outcome, out)
    _print_skipped(outcomes, out)
    for table in beside.tables(outcomes, STYLES):
        out.print()
        out.print(table)
    _print_stale(stale, out)
    drawn = (folder / PAGE).exists()
    if drawn:
        _print_matrix(folder, out)
    out.print(f"\nseed: {seed}\nresults: {folder}")
    if drawn:
        out.print(f"matrix: {folder / PAGE}")
    out.print(str(tally(outcomes)))


def _print_matrix(folder: Path, out: Console) -> None:
    from worldswitch.harness import runs
    from worldswitch.harness.page import terminal  # which uses this module

    out.print()
    out.print(terminal.matrix(runs.read(folder)))


def _print_problem(outcome: CellOutcome, out: Console) -> None:
    assert outcome.problem
    missed = outcome.verdicts[Verdict.MISS]
    out.print(Text(f"\n{outcome.cell}: {outcome.problem.reason}", style=STYLES[Verdict.MISS]))
    if missed:
        out.print(f"  {missed} of {len(outcome.judged)} trials never ran")
    if outcome.problem.remedy:
        out.print(f"  what to do: {outcome.problem.remedy}")
    for line in outcome.problem.log.splitlines():
        out.print(f"  | {line}")


def _print_stale(stale: Sequence[Stale], out: Console) -> None:
    if stale:
        out.print(Text("\nunexpected: rules that are out of date", style=STYLES[Verdict.FAIL]))
    for one in stale:
        out.print(f"  {one}")


def _print_skipped(outcomes: Iterable[CellOutcome], out: Console) -> None:
    """What did not pass and was not to: each reason once, with the environments, the ids and what showed it."""
    places: dict[tuple[Verdict, str, tuple[str, ...]], list[str]] = {}
    for outcome in outcomes:
        groups: dict[tuple[Verdict, str], list[Trial]] = {}
        for one in outcome.judged:
            if one.judgement.expected and one.trial.verdict is not Verdict.PASS:
                groups.setdefault((one.trial.verdict, one.judgement.reason), []).append(one.trial)
        for (verdict, reason), trials in groups.items():
            places.setdefault((verdict, reason, tuple(_shown(trials))), []).append(f"{len(trials)} in {outcome.cell}")
    for (verdict, reason, lines), where in places.items():
        out.print(f"\n{verdict.value}, as expected: {reason}\n  {', '.join(where)}")
        for line in lines:
            out.print(f"  {line}")


def _shown(trials: Iterable[Trial]) -> Iterator[str]:
    """What showed it, with the ids it was shown for."""
    shown: dict[str, set[str]] = {}
    for trial in trials:
        shown.setdefault(trial.reason, set()).add(trial.ids[0])
    for reason, ids in sorted(shown.items()):
        first = " ".join(sorted(ids)[:IDS])
        yield f"{first}{f' and {len(ids) - IDS} more' if len(ids) > IDS else ''}: {reason}"


def _counts(verdicts: Counter[Verdict]) -> str:
    return ", ".join(f"{verdicts[verdict]} {verdict.value}" for verdict in STYLES if verdicts[verdict]) or "nothing ran"
