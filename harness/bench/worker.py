"""One process that measures some benchmarks in sweeps: one value of each, in an order drawn anew for each sweep.

Clock frequency and load drift within seconds, so benchmarks to be compared are measured close together.  Each process
is one sample of what differs between processes: addresses, caches, CPUs.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from worldswitch.harness.bench import catalogue
from worldswitch.harness.bench.benchmark import Benchmark
from worldswitch.harness.bench.messages import Disturbance, Measured, Message, NotMeasured, encode
from worldswitch.harness.bench.workbench import Bench, Timer, UnexpectedEvent, become_realtime
from worldswitch.harness.contract import PlatformError

#: Seconds of spinning before each value.
SPIN = 0.0003
#: The calibration's limit: at this count the clock's resolution no longer matters.
MOST_LOOPS = 1 << 24


@dataclass(slots=True)
class PreparedBenchmark:
    """A benchmark with its timer, its calibrated number of loops and the values so far."""

    benchmark: Benchmark
    timer: Timer
    loops: int
    warmups: list[tuple[int, float]] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def take(self) -> None:
        """Append the next values, in the benchmark's unit per loop."""
        for _ in range(self.benchmark.burst):
            self.values.append(self.timer(self.loops) / self.loops)


def measure(
    benchmarks: Sequence[Benchmark], platform: str, sweeps: int, min_time: float, order: random.Random
) -> Iterator[Message]:
    """Yield the results of `sweeps` sweeps; a value takes `min_time` seconds or more.

    Yields `NotMeasured` for a benchmark that cannot be prepared, `Measured` for the others, then the `Disturbance`.
    """
    probe = _SpinProbe()
    with Bench(platform) as bench:
        ready: list[PreparedBenchmark] = []
        for benchmark in benchmarks:
            try:
                ready.append(_prepared(benchmark, bench, min_time))
            except (PlatformError, OSError, UnexpectedEvent) as error:
                yield NotMeasured(benchmark.name, f"{type(error).__name__}: {error}")
        for _ in range(sweeps):
            for one in order.sample(ready, len(ready)):
                probe.spin()
                one.take()
    for one in ready:
        yield Measured(one.benchmark.name, one.loops, tuple(one.values), tuple(one.warmups))
    yield probe.disturbance()


def _prepared(benchmark: Benchmark, bench: Bench, min_time: float) -> PreparedBenchmark:
    """Make the timer and calibrate the number of loops, which also warms up."""
    made = PreparedBenchmark(benchmark, benchmark.make(bench), benchmark.loops or 1)
    while True:
        spent = made.timer(made.loops)
        made.warmups.append((made.loops, spent / made.loops))
        if benchmark.loops or spent >= min_time or made.loops >= MOST_LOOPS:
            return made
        made.loops *= 2


class _SpinProbe:
    """Spins briefly between values, to measure how much CPU time others take from this thread."""

    def __init__(self) -> None:
        self._wall = self._ran = 0.0
        self._involuntary = 0

    def spin(self) -> None:
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw
        wall, ran = time.perf_counter(), time.thread_time()
        while time.perf_counter() - wall < SPIN:
            pass
        self._ran += time.thread_time() - ran
        self._wall += time.perf_counter() - wall
        self._involuntary += resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw - before

    def disturbance(self) -> Disturbance:
        return Disturbance(self._wall, max(self._wall - self._ran, 0.0), self._involuntary, sum(os.times()[:4]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the benchmarks of the command line; print one message per line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="+")
    parser.add_argument("--platform", default="reference")
    parser.add_argument("--sweeps", type=int, default=20)
    parser.add_argument("--min-time", type=float, default=0.003)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--realtime", action="store_true")
    options = parser.parse_args(arguments)
    if options.realtime:
        become_realtime()
    known = catalogue.benchmarks()
    chosen = [known[name] for name in options.names]
    for message in measure(chosen, options.platform, options.sweeps, options.min_time, random.Random(options.seed)):
        sys.stdout.buffer.write(encode(message))
        sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
