"""Prints a run's matrix on a terminal."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.table import Table
from rich.text import Text

from worldswitch.harness.expectations.outcome import tally
from worldswitch.harness.report import failure
from worldswitch.harness.report.console import STYLES
from worldswitch.harness.report.matrix import summary
from worldswitch.harness.report.outcome import causes, closing
from worldswitch.harness.report.outcome.answer import answer
from worldswitch.harness.results import matrix_axes
from worldswitch.harness.results.reader import KeptCell, KeptRun
from worldswitch.harness.results.verdict_letters import LETTERS
from worldswitch.harness.verdict import Verdict

MOST = 40  #: the maximum number of entries per list; the page has all of them


def show(run: KeptRun, out: Console) -> None:
    """Print the answer, the matrix, the unexpected verdicts, and where kernels differ; the counts come last."""
    out.print(Text(answer(run.outcomes), "bold"))
    out.print(f"{summary.title(run)}\n{summary.headline(run)}\n")
    out.print(matrix(run))
    letters = ", ".join(f"{letter.upper()} {verdict.value}" for verdict, letter in LETTERS.items() if letter != "p")
    out.print(f"a number without a letter counts passed trials; {letters}; ! unexpected")
    _problems(run, out)
    for rule in run.manifest.stale:
        out.print(Text(f"\nstale rule: {rule}", STYLES[Verdict.FAIL]))
    failure.by_cause(causes.groups(run.outcomes), out)
    _differences(run, out)
    closing.repeat(run.outcomes, run.folder, out)
    out.print()
    closing.places(run.folder, out)
    out.print(f"{summary.conclusion(run)}\n{tally(run.outcomes)}")


def matrix(run: KeptRun) -> Table:
    """Return the table: a row per kernel, a column per profile."""
    table = Table("kernel", box=None)
    for column in matrix_axes.columns(cell.name for cell in run.cells):
        table.add_column(column or matrix_axes.NOWHERE)
    for row, release, cells in summary.table(run):
        name = Text(str(row)).append(f" {release}" if release else "", "dim")
        table.add_row(name, *map(_cell, cells))
    return table


def _cell(cell: KeptCell | None) -> Text:
    if cell is None:
        return Text()
    wrong = Counter(one.trial.verdict for one in cell.outcome.unexpected)
    fine = cell.outcome.verdicts - wrong
    parts = [Text(str(fine[Verdict.PASS]), STYLES[Verdict.PASS])] if fine[Verdict.PASS] else []
    for verdict, letter in LETTERS.items():
        if wrong[verdict]:
            parts.append(Text(f"{wrong[verdict]}{letter.upper()}!", "bold red"))
        if fine[verdict] and verdict is not Verdict.PASS:
            parts.append(Text(f"{fine[verdict]}{letter.upper()}", STYLES[verdict]))
    return Text(" ").join(parts)


def _problems(run: KeptRun, out: Console) -> None:
    for (reason, remedy), names in summary.problems(run).items():
        out.print(Text(f"\n{reason}", STYLES[Verdict.MISS]))
        out.print(f"  in {summary.named(names)}")
        if remedy:
            out.print(f"  what to do: {remedy}")


def _differences(run: KeptRun, out: Console) -> None:
    found = summary.differences(run)
    if not found:
        return
    out.print("\nwhere kernels differ:")
    for one in found[:MOST]:
        out.print(f"  {one.ids} {one.scenario}\n    {one}; in {summary.named(one.profiles)}")
    _more(len(found), out)


def _more(number: int, out: Console) -> None:
    if number > MOST:
        out.print(f"  and {number - MOST} more: see the page")
