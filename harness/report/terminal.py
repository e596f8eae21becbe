"""The summary of a finished run, as text."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from worldswitch.harness.cell.records import Trial
from worldswitch.harness.expectations.outcome import CellOutcome, Stale, tally
from worldswitch.harness.report import prediction, side_by_side
from worldswitch.harness.report.console import STYLES
from worldswitch.harness.results import reader
from worldswitch.harness.results.errors import ResultError
from worldswitch.harness.verdict import Verdict

PAGE = "matrix.html"  #: in a run's folder, if the run had more than one environment
IDS = 12  #: the maximum number of ids listed for a reason


def summary(
    outcomes: Sequence[CellOutcome], folder: Path, seed: int, out: Console, stale: Sequence[Stale] = ()
) -> None:
    """Print problems, skipped trials, stale rules, paths and counts; the last line is the counts, for programs."""
    for outcome in outcomes:
        if outcome.problem:
            _print_problem(outcome, out)
    _print_predictions(folder, out)
    _print_skipped(outcomes, out)
    for table in side_by_side.tables(outcomes, STYLES):
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


def _print_predictions(folder: Path, out: Console) -> None:
    """Print how the verdicts compare with those predicted from the filters."""
    with contextlib.suppress(ResultError):  # the folder could not be written, which is reported elsewhere
        for number, line in enumerate(prediction.lines(reader.read(folder))):
            out.print(Text(line if number else f"\n{line}"))


def _print_matrix(folder: Path, out: Console) -> None:
    from worldswitch.harness.report.matrix import table  # imports this module

    out.print()
    out.print(table.matrix(reader.read(folder)))


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
        out.print(Text("\nunexpected: stale rules", style=STYLES[Verdict.FAIL]))
    for one in stale:
        out.print(f"  {one}")


def _print_skipped(outcomes: Iterable[CellOutcome], out: Console) -> None:
    """Print the trials that did not pass, as expected: by reason, with cells, ids and the trials' own reasons."""
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
    """Each trial's own reason, after the ids of the trials that share it."""
    shown: dict[str, set[str]] = {}
    for trial in trials:
        shown.setdefault(trial.reason, set()).add(trial.ids[0])
    for reason, ids in sorted(shown.items()):
        first = " ".join(sorted(ids)[:IDS])
        yield f"{first}{f' and {len(ids) - IDS} more' if len(ids) > IDS else ''}: {reason}"
