"""Runs a subject as a pyperf script: each benchmark in worker processes of its own, one after the other.

`worldswitch bench` interleaves them instead, because clock frequency and load drift within seconds.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache

from worldswitch.harness.bench.benchmark import Benchmark, Subject
from worldswitch.harness.bench.workbench import Bench, Timer


def main(subject: Subject, arguments: Sequence[str] | None = None) -> None:
    """Run the subject's benchmarks by pyperf, with pyperf's command line options."""
    import pyperf

    def forward(command: list[str], options: argparse.Namespace) -> None:
        command.extend(("--platform", options.platform))

    module = f"worldswitch.harness.bench.suite.{subject.name}"
    runner = pyperf.Runner(program_args=("-m", module), add_cmdline_args=forward)
    runner.argparser.add_argument("--platform", default="reference", help="the platform to time (default: reference)")
    options = runner.parse_args(arguments)
    loops = options.loops
    for benchmark in subject.benchmarks:
        options.loops = benchmark.loops or loops
        with ExitStack() as stack:
            timer = _made_when_used(benchmark, options.platform, stack)
            runner.bench_time_func(benchmark.name, timer, metadata=metadata(benchmark))


def metadata(benchmark: Benchmark) -> dict[str, str | int]:
    """Return the pyperf metadata of a benchmark."""
    common: dict[str, str | int] = {
        "unit": benchmark.unit,
        "description": benchmark.about.partition("\n")[0],
        "subject": benchmark.subject,
    }
    return common | ({"series": benchmark.series, "size": benchmark.size} if benchmark.series else {})


def _made_when_used(benchmark: Benchmark, platform: str, stack: ExitStack) -> Timer:
    """A timer made on first use, which is in a worker process of pyperf's."""
    made = cache(lambda: benchmark.make(stack.enter_context(Bench(platform))))
    return lambda loops: made()(loops)
