"""A subject as a pyperf script: each benchmark in worker processes of its own, one after the other.

`worldswitch bench` measures them in turn instead, since a machine's mood changes from second to second.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache

from worldswitch.harness.bench.benchmark import Benchmark, Subject
from worldswitch.harness.bench.workbench import Bench, Timer


def main(subject: Subject, arguments: Sequence[str] | None = None) -> None:
    """Hand the subject's benchmarks to pyperf, whose options are on the command line."""
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
    """What results say of a benchmark beside its values."""
    said: dict[str, str | int] = {
        "unit": benchmark.unit,
        "description": benchmark.about.partition("\n")[0],
        "subject": benchmark.subject,
    }
    return said | ({"series": benchmark.series, "size": benchmark.size} if benchmark.series else {})


def _made_when_used(benchmark: Benchmark, platform: str, stack: ExitStack) -> Timer:
    """A timer that is made in the worker process that uses it."""
    made = cache(lambda: benchmark.make(stack.enter_context(Bench(platform))))
    return lambda loops: made()(loops)
