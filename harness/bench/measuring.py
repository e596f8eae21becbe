"""`worldswitch bench`: measure, and say what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import indent

from rich.console import Console
from rich.table import Table

from worldswitch.harness import report
from worldswitch.harness.bench import collection, records
from worldswitch.harness.bench.benchmark import Benchmark
from worldswitch.harness.bench.quantities import in_order, quartiles, shown
from worldswitch.harness.bench.records import Results
from worldswitch.harness.bench.report import page
from worldswitch.harness.bench.session import Effort, Session, recording
from worldswitch.harness.outcome import Status
from worldswitch.harness.request import CouldNotRun
from worldswitch.harness.results import ResultError
from worldswitch.harness.runner import new_folder


def chosen(names: Sequence[str]) -> list[Benchmark]:
    """The benchmarks of these names; raises `CouldNotRun`."""
    try:
        return collection.select(tuple(names))
    except LookupError as problem:
        raise CouldNotRun(str(problem.args[0])) from problem


def show(
    benchmarks: Sequence[Benchmark], platform: str, effort: Effort, seed: int, parent: Path, *, counting: bool
) -> Status:
    """Measure into a new folder below `parent`, and print a line a benchmark."""
    out = report.console()
    folder = new_folder(parent)

    def say(line: str) -> None:
        out.print(line)

    out.print(f"{len(benchmarks)} benchmarks of {platform}, {effort.rounds} rounds, seed {seed}")
    try:
        with recording(folder, platform) as recorder:
            Session(benchmarks, platform, effort, seed, say, recorder, counting=counting).run()
        results = records.read(folder)
    except ResultError as problem:
        raise CouldNotRun(str(problem)) from problem
    tell(results, out)
    out.print(f"report: {page.write(results, folder)}")
    return Status.COULD_NOT_RUN if results.absent else Status.AS_EXPECTED


def tell_of(benchmarks: Sequence[Benchmark]) -> Status:
    """Print what each benchmark times and what it does not."""
    out = report.console()
    for one in benchmarks:
        out.print(f"{one.name}\n{indent(one.about, '    ')}\n")
    return Status.AS_EXPECTED


def tell(results: Results, out: Console) -> None:
    """Print what a file has."""
    table = Table("benchmark", "median", "quartiles", "rounds", "", box=None)
    for one in in_order(results):
        low, high = quartiles(one.samples)
        spread = f"{shown(low, one.unit)} .. {shown(high, one.unit)}"
        table.add_row(
            one.name, shown(one.median, one.unit), spread, str(len(one.samples)), one.about.get("description", "")
        )
    out.print(table)
    for name, reason in results.absent.items():
        out.print(f"{name} was not measured: {reason}")
    for warning in results.warnings:
        out.print(f"warning: {warning}")
    out.print(f"results: {results.path}")
