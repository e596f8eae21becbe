"""`worldswitch bench compare A B`: prints the comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from worldswitch.harness.bench import comparison, results_file
from worldswitch.harness.bench.comparison import ComparisonRow, RatioVerdict
from worldswitch.harness.bench.results_file import Results, UnlikeMachines
from worldswitch.harness.bench.units import shown
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.report.console import console

STYLES = {RatioVerdict.SLOWER: "bold red", RatioVerdict.FASTER: "green", RatioVerdict.INCONCLUSIVE: "dim"}


def show(first: Path, second: Path, *, anyway: bool = False) -> Status:
    """Print the second run's ratio to the first; the status is unexpected if a benchmark is slower."""
    out = console()
    try:
        before, after = results_file.read(first), results_file.read(second)
        rows = list(comparison.compare(before, after, anyway=anyway))
    except UnlikeMachines as problem:
        raise CouldNotRun(f"{problem}; --anyway compares them nevertheless") from problem
    if not rows:
        raise CouldNotRun(f"{first} and {second} have no benchmark in common")
    out.print(table(rows))
    _print_rest(before, after, rows, out)
    return Status.UNEXPECTED if any(row.verdict is RatioVerdict.SLOWER for row in rows) else Status.AS_EXPECTED


def table(rows: Sequence[ComparisonRow]) -> Table:
    """Return a table with one row per benchmark."""
    made = Table("benchmark", "before", "after", "ratio", "95 % interval", "floor", "", box=None)
    for row in rows:
        few = row.ratio.high == float("inf")
        interval = "too few rounds" if few else f"{row.ratio.low:.3f} .. {row.ratio.high:.3f}"
        before, after = (shown(series.median, series.unit) for series in (row.before, row.after))
        cells = (row.before.name, before, after, f"{row.ratio.middle:.3f}", interval, f"{row.floor:.1%}", row.label)
        made.add_row(*cells, style=STYLES[row.verdict])
    return made


def _print_rest(before: Results, after: Results, rows: Sequence[ComparisonRow], out: Console) -> None:
    for one, other in ((before, after), (after, before)):
        for name in one.series.keys() - other.series.keys():
            out.print(f"only in {one.path}: {name}")
    for results in (before, after):
        for warning in results.warnings:
            out.print(f"warning: {results.path}: {warning}")
    if advice := advised(
        [row for row in rows if row.verdict is RatioVerdict.INCONCLUSIVE and row.before.unit == "second"]
    ):
        out.print(advice)


def advised(rows: Sequence[ComparisonRow]) -> str:
    """Return how many rounds would detect a difference of 10 % in these rows; empty if there were enough."""
    few = [row for row in rows if row.needed is not None and row.needed > min(_rounds(row))]
    never = [row.before.name for row in rows if row.needed is None]
    lines = []
    if few:
        most = max(few, key=lambda row: row.needed or 0)
        lines.append(f"to detect 10 % in every benchmark: --rounds {most.needed} in both runs (for {most.before.name})")
    if never:
        lines.append(f"the noise is too high to detect 10 % with any number of rounds: {', '.join(never)}")
    return "\n".join(lines)


def _rounds(row: ComparisonRow) -> tuple[int, int]:
    return len(row.before.samples), len(row.after.samples)
