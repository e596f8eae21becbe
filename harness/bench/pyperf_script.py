"""Runs a subject under pyperf: each benchmark in worker processes of its own, one after the other.

`worldswitch bench` interleaves them instead, because clock frequency and load drift within seconds.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from functools import cache

import pyperf

from worldswitch.harness.bench import catalogue
from worldswitch.harness.bench.benchmark import Benchmark
from worldswitch.harness.bench.workbench import Bench, Timer


def main() -> None:
    """Run the benchmarks of the subject that the command line names, with pyperf's options."""

    def forward(command: list[str], options: argparse.Namespace) -> None:
        command.extend(("--platform", options.platform, options.subject))

    runner = pyperf.Runner(program_args=("-m", "worldswitch.harness.bench.pyperf_script"), add_cmdline_args=forward)
    runner.argparser.add_argument("subject", choices=catalogue.SUBJECTS)
    runner.argparser.add_argument("--platform", default="reference", help="the platform to time (default: reference)")
    options = runner.parse_args()
    loops = options.loops
    for benchmark in catalogue.select((options.subject,)):
        options.loops = benchmark.loops or loops
        with ExitStack() as stack:
            timer = _made_when_used(benchmark, options.platform, stack)
            runner.bench_time_func(benchmark.name, timer, metadata=benchmark.metadata)


def _made_when_used(benchmark: Benchmark, platform: str, stack: ExitStack) -> Timer:
    """A timer made on first use, which is in a worker process of pyperf's."""
    made = cache(lambda: benchmark.make(stack.enter_context(Bench(platform))))
    return lambda loops: made()(loops)


if __name__ == "__main__":
    main()
