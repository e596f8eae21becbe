"""The last lines of a report: how to select, explain and repeat what failed, and where the results are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from worldswitch.harness.cell.records import tally
from worldswitch.harness.expectations.outcome import CellOutcome
from worldswitch.harness.report.outcome import causes
from worldswitch.harness.results.reader import PLACE
from worldswitch.harness.verdict import Verdict

PAGE = "matrix.html"  #: in a run's folder


def repeat(outcomes: Sequence[CellOutcome], folder: Path, out: Console) -> None:
    """Print the options that select the scenarios with unexpected verdicts, and the commands that go on from there."""
    found = [group for group in causes.groups(outcomes) if group.verdict is not Verdict.MISS]
    if not found:
        return
    cell, judged = found[0].trials[0]
    elsewhere = "" if folder.parent == PLACE else f" --results {folder.parent}"
    out.print(f"\nthese scenarios:   {causes.selection(found)}")
    out.print(f"explain the first: worldswitch explain '{cell}::{judged.trial.scenario}@{folder}'")
    out.print(f"repeat all:        worldswitch run --lf{elsewhere}")


def attempts(outcomes: Sequence[CellOutcome], out: Console) -> None:
    """Print how many trials were tried again, and with what result, because the machine was starved."""
    for one in outcomes:
        again = [judged.trial for judged in one.judged if judged.trial.attempts]
        if again:
            ended = ", ".join(f"{number} {name}" for name, number in tally(again).items())
            count = f"{len(again)} of {len(one.judged)} trials"
            out.print(f"\n{one.cell}: {count} tried again, as the machine was starved: {ended}")


def places(folder: Path, out: Console) -> None:
    """Print where the results and the page are."""
    out.print(f"results: {folder}")
    if (folder / PAGE).exists():
        out.print(f"matrix: {folder / PAGE}")
