"""`worldswitch bench`: measures, and prints the results."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent

import msgspec
from rich.console import Console
from rich.table import Table

from worldswitch.harness.bench import catalogue, in_containers, results_file
from worldswitch.harness.bench.benchmark import Benchmark
from worldswitch.harness.bench.kernel_calls import count
from worldswitch.harness.bench.kernel_calls.process import OPERATIONS
from worldswitch.harness.bench.messages import Measured, NotMeasured
from worldswitch.harness.bench.report import page
from worldswitch.harness.bench.results_file import Results, ResultsWriter
from worldswitch.harness.bench.session import Effort, Session, results_writer
from worldswitch.harness.bench.units import in_order, summary
from worldswitch.harness.environments.profiles import profile
from worldswitch.harness.environments.protocol import EngineChoice, Environment, Missing, Say
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.report.console import console
from worldswitch.harness.results.writer import new_folder
from worldswitch.harness.run.request import check_platform


def chosen(names: Sequence[str]) -> list[Benchmark]:
    """Return the benchmarks of these names.  Raises `CouldNotRun` for an unknown name."""
    try:
        return catalogue.select(tuple(names))
    except LookupError as problem:
        raise CouldNotRun(str(problem.args[0])) from problem


@dataclass(frozen=True, slots=True)
class BenchRequest:
    """The parameters of a run."""

    names: tuple[str, ...]  #: of benchmarks, or patterns; empty means all
    platform: str
    effort: Effort
    seed: int  #: draws the order
    engine: EngineChoice  #: makes the containers; `host` makes none
    profiles: tuple[str, ...]  #: of the containers; empty means the usual ones


def show(request: BenchRequest, parent: Path) -> Status:
    """Measure into a new folder below `parent`, and print one line per benchmark."""
    out = console()
    benchmarks, effort = chosen(request.names), request.effort
    profile.select(request.profiles)
    check_platform(request.platform)
    folder = new_folder(parent)
    out.print(f"{len(benchmarks)} benchmarks of {request.platform}, {effort.rounds} rounds, seed {request.seed}")
    with results_writer(folder, request.platform) as writer:
        _measure(request, benchmarks, writer, out)
    results = results_file.read(folder)
    print_results(results, out)
    out.print(f"report: {page.write(results, folder)}")
    return Status.COULD_NOT_RUN if _missed(request, results) else Status.AS_EXPECTED


def _missed(request: BenchRequest, results: Results) -> list[str]:
    """The benchmarks that failed unexpectedly; of the usual profiles some allow no tracing, so those do not count."""
    return [name for name in results.absent if request.profiles or "/" not in name]


def _measure(request: BenchRequest, benchmarks: Sequence[Benchmark], writer: ResultsWriter, out: Console) -> None:
    if not request.names:
        _count_kernel_calls(writer, request.platform, out.print)
    with ExitStack() as stack:
        environments: list[Environment | Missing] = []
        if request.engine != "host":
            plan = in_containers.host_and_containers(request.engine, request.profiles, out.print)
            environments = list(stack.enter_context(plan))
        order = random.Random(request.seed)
        Session(benchmarks, request.platform, request.effort, order, out.print, writer, environments).run()


def _count_kernel_calls(writer: ResultsWriter, platform: str, say: Say) -> None:
    """Count every operation once: counts need neither a quiet machine nor repetition."""
    for name, operation in OPERATIONS.items():
        description = (operation.__doc__ or "").partition("\n")[0]
        try:
            counts = msgspec.structs.asdict(count.count(name, platform))
        except OSError as problem:
            writer.take([NotMeasured(f"counted::{name}", str(problem))], number=0, about={})
            continue
        measured, about = [], {}
        for field, value in counts.items():
            if round(value):  # pyperf rejects 0
                series = Measured(f"counted::{name}.{field}", loops=1, values=(round(value),))
                unit = "byte" if field == "bytes" else "integer"
                measured.append(series)
                about[series.name] = {"unit": unit, "description": description, "subject": "counted"}
        writer.take(measured, number=0, about=about)
    say(f"counted the kernel calls of {len(OPERATIONS)} operations")


def print_descriptions(benchmarks: Sequence[Benchmark]) -> Status:
    """Print each benchmark's docstring: what it times and what it does not."""
    out = console()
    for benchmark in benchmarks:
        out.print(f"{benchmark.name}\n{indent(benchmark.about, '    ')}\n")
    return Status.AS_EXPECTED


def print_results(results: Results, out: Console) -> None:
    """Print a table of the results, then the absent benchmarks and the warnings."""
    table = Table("benchmark", "median", "quartiles", "rounds", "", box=None)
    for series in in_order(results):
        table.add_row(*summary(series).values())
    out.print(table)
    for name, reason in results.absent.items():
        out.print(f"{name} was not measured: {reason}")
    for warning in results.warnings:
        out.print(f"warning: {warning}")
    out.print(f"results: {results.path}")
