"""The summary of a finished run, as text."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from worldswitch.harness.cell.records import Trial
from worldswitch.harness.expectations.outcome import CellOutcome, Stale, tally
from worldswitch.harness.report import failure, prediction, side_by_side
from worldswitch.harness.report.console import STYLES
from worldswitch.harness.report.matrix import table as matrix_table
from worldswitch.harness.report.outcome import causes, closing
from worldswitch.harness.report.outcome.answer import answer
from worldswitch.harness.results import reader
from worldswitch.harness.results.errors import ResultError
from worldswitch.harness.run.request import Request
from worldswitch.harness.verdict import Verdict

IDS = 12  #: the maximum number of ids listed for a reason


def summary(
    outcomes: Sequence[CellOutcome], folder: Path, request: Request, out: Console, stale: Sequence[Stale] = ()
) -> None:
    """Print the answer, skipped trials, stale rules, problems, failures, paths; the last line is the counts."""
    out.print(Text(f"\n{answer(outcomes)}", "bold"))
    _print_predictions(folder, out)
    _print_skipped(outcomes, out)
    for table in side_by_side.tables(outcomes, STYLES):
        out.print()
        out.print(table)
    _print_stale(stale, out)
    if len({outcome.cell.environment for outcome in outcomes}) > 1:
        _print_matrix(folder, out)
    _print_problems(outcomes, out)
    _print_failures(outcomes, folder, request, out)
    closing.attempts(outcomes, out)
    out.print(f"\nseed: {request.seed}")
    closing.places(folder, out)
    out.print(str(tally(outcomes)))


def _print_predictions(folder: Path, out: Console) -> None:
    """Print how the verdicts compare with those predicted from the filters."""
    with contextlib.suppress(ResultError):  # the folder could not be written, which is reported elsewhere
        for number, line in enumerate(prediction.lines(reader.read(folder))):
            out.print(Text(line if number else f"\n{line}"))


def _print_failures(outcomes: Sequence[CellOutcome], folder: Path, request: Request, out: Console) -> None:
    failure.by_cause(causes.groups(outcomes), out, failure.evidence(request, folder))
    closing.repeat(outcomes, folder, out)


def _print_matrix(folder: Path, out: Console) -> None:
    if (folder / closing.PAGE).exists():
        out.print()
        out.print(matrix_table.matrix(reader.read(folder)))


def _print_problems(outcomes: Sequence[CellOutcome], out: Console) -> None:
    """Print each problem once, with the cells that have it."""
    missed = {str(one.cell): (one.verdicts[Verdict.MISS], len(one.judged)) for one in outcomes}
    for problem, cells in causes.problems(outcomes).items():
        out.print(Text(f"\n{', '.join(cells)}: {problem.reason}", style=STYLES[Verdict.MISS]))
        if never := sum(missed[cell][0] for cell in cells):
            out.print(f"  {never} of {sum(missed[cell][1] for cell in cells)} trials never ran")
        if problem.remedy:
            out.print(f"  what to do: {problem.remedy}")
        for line in problem.log.splitlines():
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
