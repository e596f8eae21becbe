"""`worldswitch bench`: measure, and say what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent

from rich.console import Console
from rich.table import Table

from worldswitch.harness.bench import catalogue, in_containers, results_file
from worldswitch.harness.bench.benchmark import Benchmark
from worldswitch.harness.bench.kernel_calls import record
from worldswitch.harness.bench.report import page
from worldswitch.harness.bench.results_file import Results, ResultsWriter
from worldswitch.harness.bench.session import Effort, Session, results_writer
from worldswitch.harness.bench.units import in_order, quartiles, shown
from worldswitch.harness.environments.profiles.profile import ProfileError
from worldswitch.harness.environments.protocol import EngineChoice
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.report.console import console
from worldswitch.harness.results.errors import ResultError
from worldswitch.harness.results.new_folder import new_folder


def chosen(names: Sequence[str]) -> list[Benchmark]:
    """The benchmarks of these names; raises `CouldNotRun`."""
    try:
        return catalogue.select(tuple(names))
    except LookupError as problem:
        raise CouldNotRun(str(problem.args[0])) from problem


@dataclass(frozen=True, slots=True)
class BenchRequest:
    """What somebody asks to be measured."""

    names: tuple[str, ...]
    platform: str
    effort: Effort
    seed: int
    engine: EngineChoice  #: that makes containers to measure in too; `host` makes none
    profiles: tuple[str, ...]


def show(wanted: BenchRequest, parent: Path) -> Status:
    """Measure into a new folder below `parent`, and print a line a benchmark."""
    out = console()
    benchmarks, effort = chosen(wanted.names), wanted.effort
    try:
        in_containers.check(wanted.profiles)
        folder = new_folder(parent)
        out.print(f"{len(benchmarks)} benchmarks of {wanted.platform}, {effort.rounds} rounds, seed {wanted.seed}")
        with results_writer(folder, wanted.platform) as writer:
            _measure(wanted, benchmarks, writer, out)
        results = results_file.read(folder)
    except (ResultError, ProfileError) as problem:
        raise CouldNotRun(str(problem)) from problem
    print_results(results, out)
    out.print(f"report: {page.write(results, folder)}")
    return Status.COULD_NOT_RUN if _missed(wanted, results) else Status.AS_EXPECTED


def _missed(wanted: BenchRequest, results: Results) -> list[str]:
    """What was wanted and could not be measured: of the usual profiles some allow no tracing, and that is their row."""
    return [name for name in results.absent if wanted.profiles or "/" not in name]


def _measure(wanted: BenchRequest, benchmarks: Sequence[Benchmark], writer: ResultsWriter, out: Console) -> None:
    def say(line: str) -> None:
        out.print(line)

    if not wanted.names:
        record.record(writer, wanted.platform, say)
    with ExitStack() as stack:
        places: list[object] = []
        if wanted.engine != "host":
            places = list(stack.enter_context(in_containers.places(wanted.engine, wanted.profiles, say)))
        Session(benchmarks, wanted.platform, wanted.effort, wanted.seed, say, writer, places).run()


def print_descriptions(benchmarks: Sequence[Benchmark]) -> Status:
    """Print what each benchmark times and what it does not."""
    out = console()
    for one in benchmarks:
        out.print(f"{one.name}\n{indent(one.about, '    ')}\n")
    return Status.AS_EXPECTED


def print_results(results: Results, out: Console) -> None:
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
