"""One process that measures some benchmarks in turn: a value of each, then again, in another order each time.

A machine's mood changes from second to second.  What is to be compared is therefore measured within a moment, and
each process is one sample of what differs between processes: addresses, caches, CPUs.
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
from worldswitch.harness.bench.messages import Disturbance, Measured, NotMeasured, Message, encode
from worldswitch.harness.bench.workbench import Bench, Timer, UnexpectedEvent
from worldswitch.harness.contract import PlatformError

#: Seconds that a spin between two values takes.
SPIN = 0.0003
#: Beyond this, a clock's step is no longer worth more loops.
MOST_LOOPS = 1 << 24


@dataclass(slots=True)
class PreparedBenchmark:
    """A benchmark under way."""

    benchmark: Benchmark
    timer: Timer
    loops: int
    warmups: list[tuple[int, float]] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def take(self) -> None:
        """Take the next values."""
        for _ in range(self.benchmark.burst):
            self.values.append(self.timer(self.loops) / self.loops)


def measure(
    benchmarks: Sequence[Benchmark], platform: str, sweeps: int, min_time: float, order: random.Random
) -> Iterator[Message]:
    """Measure the benchmarks in `sweeps` rounds of a value each, which take `min_time` seconds or more."""
    watch = _SpinProbe()
    with Bench(platform) as bench:
        ready: list[PreparedBenchmark] = []
        for benchmark in benchmarks:
            try:
                ready.append(_prepared(benchmark, bench, min_time))
            except (PlatformError, OSError, UnexpectedEvent) as error:
                yield NotMeasured(benchmark.name, f"{type(error).__name__}: {error}")
        for _ in range(sweeps):
            for one in order.sample(ready, len(ready)):
                watch.spin()
                one.take()
    for one in ready:
        yield Measured(one.benchmark.name, one.loops, tuple(one.values), tuple(one.warmups))
    yield watch.seen()


def _prepared(benchmark: Benchmark, bench: Bench, min_time: float) -> PreparedBenchmark:
    """Make the timer, and find how many loops a value needs; that is the warm-up."""
    under = PreparedBenchmark(benchmark, benchmark.make(bench), benchmark.loops or 1)
    while True:
        spent = under.timer(under.loops)
        under.warmups.append((under.loops, spent / under.loops))
        if benchmark.loops or spent >= min_time or under.loops >= MOST_LOOPS:
            return under
        under.loops *= 2


class _SpinProbe:
    """Spins for a moment between values, and sees how long that takes."""

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

    def seen(self) -> Disturbance:
        return Disturbance(self._wall, max(self._wall - self._ran, 0.0), self._involuntary, sum(os.times()[:4]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the command line names, and say a word a line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="+")
    parser.add_argument("--platform", default="reference")
    parser.add_argument("--sweeps", type=int, default=20)
    parser.add_argument("--min-time", type=float, default=0.003)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--realtime", action="store_true")
    asked = parser.parse_args(arguments)
    if asked.realtime:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    known = catalogue.benchmarks()
    chosen = [known[name] for name in asked.names]
    for word in measure(chosen, asked.platform, asked.sweeps, asked.min_time, random.Random(asked.seed)):
        sys.stdout.buffer.write(encode(word))
        sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
