"""A run as text: a live table for people who watch, plain lines for logs, and at the end what there is to know."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from worldswitch.harness.cell.records import Trial
from worldswitch.harness.expectations.outcome import CellOutcome, Stale, tally
from worldswitch.harness.report import side_by_side
from worldswitch.harness.report.console import STYLES
from worldswitch.harness.verdict import Verdict

PAGE = "matrix.html"  #: in a run's folder, if there is anything to compare


IDS = 12  #: of those that share a reason, so many are named


def summary(
    outcomes: Sequence[CellOutcome], folder: Path, seed: int, out: Console, stale: Sequence[Stale] = ()
) -> None:
    """All there is to know at the end; the last line is plain, for programs."""
    for outcome in outcomes:
        if outcome.problem:
            _print_problem(outcome, out)
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


def _print_matrix(folder: Path, out: Console) -> None:
    from worldswitch.harness.report.matrix import table as terminal  # which uses this module
    from worldswitch.harness.results import reader

    out.print()
    out.print(terminal.matrix(reader.read(folder)))


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
