"""A run of benchmarks: each round measures everything once, in worker processes one after another, in random order."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TypeAlias

from worldswitch.harness.bench import catalogue, in_containers, machine_load, messages
from worldswitch.harness.bench.benchmark import Benchmark
from worldswitch.harness.bench.messages import Disturbance, Measured, NotMeasured, absent
from worldswitch.harness.bench.results_file import FILE, ResultsWriter
from worldswitch.harness.cell.probes import fingerprint
from worldswitch.harness.environments import guardian
from worldswitch.harness.environments.protocol import Environment, Missing, Say

#: Subjects that are compared with each other, so that one process must measure both.
TOGETHER = {"limits": "switch"}

#: The warning in results of --realtime.
REALTIME = (
    "measured with real-time priority: benchmarks that are not pinned to a CPU are slower than usual, because the "
    "kernel migrates real-time threads more often"
)

#: Seconds until a worker process is killed.
DEADLINE = 300.0


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    rounds: int  #: worker processes per benchmark
    heavy: int  #: the same for benchmarks that need a process of their own, and for containers
    sweeps: int  #: values per benchmark and process; each may be a burst
    min_time: float  #: the minimum duration of a value, in seconds
    seconds: float = float("inf")  #: the time limit of all rounds
    realtime: bool = False  #: True to run workers under SCHED_FIFO, which needs root


#: At most 3 and 25 minutes on two CPUs.  Values are short and many, so that most of them, and the median with them, are
#: taken while no other process runs.
QUICK = Effort(rounds=6, heavy=6, sweeps=10, min_time=0.002, seconds=150)
FULL = Effort(rounds=40, heavy=20, sweeps=20, min_time=0.003, seconds=1380)


#: The benchmarks that one process measures.
Task: TypeAlias = Sequence[Benchmark]


def tasks(benchmarks: Sequence[Benchmark]) -> list[Task]:
    """Return one task per subject, and one per benchmark that needs a process of its own."""
    shared = [one for one in benchmarks if not one.alone]
    groups = groupby(shared, lambda one: TOGETHER.get(one.subject, one.subject))
    return [*(list(group) for _, group in groups), *([one] for one in benchmarks if one.alone)]


@dataclass
class Session:
    """One run of benchmarks, on this host and in other environments."""

    benchmarks: Sequence[Benchmark]
    platform: str
    effort: Effort
    order: random.Random
    say: Say
    writer: ResultsWriter
    environments: Sequence[Environment | Missing] = ()
    _log: machine_load.LoadLog = field(default_factory=machine_load.LoadLog, init=False)

    def run(self) -> None:
        """Measure round by round; the writer has every finished measurement, even after an interruption."""
        self.writer.warnings += machine_load.warnings_before(machine_load.watch())
        if self.effort.realtime:
            self.writer.warnings.append(REALTIME)
        begin = last = time.monotonic()
        all_tasks = tasks(self.benchmarks)
        try:
            for number in range(self.effort.rounds):
                now = time.monotonic()
                # If it takes as long as the last round, the next would end too late.
                if number and 2 * now - last - begin > self.effort.seconds:
                    limit = f"only {number} of {self.effort.rounds} rounds fit into {self.effort.seconds:g} s"
                    self.writer.warnings.append(limit)
                    break
                last = now
                self._round(all_tasks, number)
                self.say(f"round {number + 1} of {self.effort.rounds}, {time.monotonic() - begin:.0f} s")
        finally:
            self.writer.warnings += self._log.warnings()
            self.writer.taken = self._log.taken

    def _round(self, all_tasks: Sequence[Task], number: int) -> None:
        heavy = number < self.effort.heavy
        for task in self.order.sample(all_tasks, len(all_tasks)):
            if heavy or not task[0].alone:
                self._measure(task, number)
        if heavy:
            for environment in self.order.sample(self.environments, len(self.environments)):
                self._measure_in(environment, number)

    def _measure_in(self, environment: Environment | Missing, number: int) -> None:
        """Measure in an environment; the load during this is not logged, since a container's is mostly its own."""
        prefix = f"{environment.name}/"
        if all(prefix + name in self.writer.absent for name in in_containers.NAMES):
            return
        found = in_containers.measure_in(environment, self.arguments(in_containers.NAMES), self._run_worker)
        self._take(found, catalogue.select(in_containers.NAMES), number, prefix)

    def _measure(self, task: Task, number: int) -> None:
        names = [one.name for one in task if one.name not in self.writer.absent]
        if not names:
            return
        # Benchmarks with a process of their own start CPU hogs and many threads, which would starve the machine.
        realtime = ["--realtime"] if self.effort.realtime and not task[0].alone else []
        before = machine_load.Reading.now()
        found = self._run_worker([*realtime, *self.arguments(names)])
        span = machine_load.Span.between(before, machine_load.Reading.now())
        label = task[0].name if task[0].alone else task[0].subject
        self._log.add_span(f"{label}, round {number + 1}", span)
        for message in found:
            if isinstance(message, Disturbance):
                self._log.add_disturbance(message)
        self._take(found, task, number)

    def _take(
        self, found: Sequence[messages.Message], benchmarks: Sequence[Benchmark], number: int, prefix: str = ""
    ) -> None:
        measured = [message for message in found if isinstance(message, Measured | NotMeasured)]
        self.writer.take(measured, number, {one.name: one.metadata for one in benchmarks}, prefix)

    def _run_worker(self, arguments: Sequence[str]) -> list[messages.Message]:
        command = [sys.executable, "-P", "-m", "worldswitch.harness.bench.worker", *arguments]
        names = [argument for argument in arguments if "::" in argument]
        try:
            output = guardian.run(command, DEADLINE)
        except subprocess.CalledProcessError as problem:
            return absent(names, f"its process ended ({problem.returncode}): {guardian.error_lines(problem)}")
        except subprocess.TimeoutExpired:
            return absent(names, f"its process did not end within {DEADLINE:g} s")
        return list(messages.read(output.encode().splitlines()))

    def arguments(self, names: Sequence[str]) -> list[str]:
        """Return a worker's command line, with a new seed each time."""
        options = ("--platform", self.platform, "--sweeps", str(self.effort.sweeps))
        return [*options, "--min-time", str(self.effort.min_time), "--seed", str(self.order.getrandbits(32)), *names]


@contextmanager
def results_writer(folder: Path, platform: str) -> Iterator[ResultsWriter]:
    """Yield a writer; write its file at the end, also after an interruption."""
    writer = ResultsWriter(platform)
    machine = fingerprint.take(None)
    try:
        yield writer
    finally:
        writer.write(folder / FILE, machine)
