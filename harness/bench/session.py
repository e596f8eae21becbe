"""A run of benchmarks: rounds, in each of which everything is measured once, in processes that take turns."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from worldswitch.harness.bench import in_containers, machine_load, messages
from worldswitch.harness.bench.benchmark import Benchmark
from worldswitch.harness.bench.messages import Disturbance, Measured, NotMeasured
from worldswitch.harness.bench.pyperf_script import metadata
from worldswitch.harness.bench.results_file import FILE, ResultsWriter
from worldswitch.harness.cell.probes import fingerprint
from worldswitch.harness.environments import guardian
from worldswitch.harness.environments.protocol import Say

#: Subjects that are set beside each other, and so are measured by one process.
TOGETHER = {"limits": "switch"}

#: What there is to know of numbers that were taken before all other processes.
REALTIME = (
    "measured with real-time priority, before all other processes: what is not pinned to a CPU costs more than usual, "
    "for such threads are moved about"
)

#: Seconds for one process, whatever it measures.
DEADLINE = 300.0


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    rounds: int  #: processes for each benchmark
    heavy: int  #: the same for those that need a process for themselves
    sweeps: int  #: values of each in a process
    min_time: float  #: seconds a value takes at the least
    seconds: float = float("inf")  #: within which all rounds are to end
    realtime: bool = False  #: before all other processes; takes root


#: Within 3 and 25 minutes on two CPUs.  Many short values: most fall between the moments in which somebody else has the
#: CPU, and then so does their median.
QUICK = Effort(rounds=6, heavy=6, sweeps=10, min_time=0.002, seconds=150)
FULL = Effort(rounds=40, heavy=20, sweeps=20, min_time=0.003, seconds=1380)


@dataclass(frozen=True, slots=True)
class BenchTask:
    """What one process measures."""

    benchmarks: tuple[Benchmark, ...]

    @property
    def label(self) -> str:
        """For people."""
        first = self.benchmarks[0]
        return first.name if first.alone else first.subject


def tasks(benchmarks: Sequence[Benchmark]) -> list[BenchTask]:
    """Which are measured together: each subject, and by itself what needs a process for itself."""
    shared = [one for one in benchmarks if not one.alone]
    groups = groupby(shared, lambda one: TOGETHER.get(one.subject, one.subject))
    alone = [BenchTask((one,)) for one in benchmarks if one.alone]
    return [*(BenchTask(tuple(group)) for _, group in groups), *alone]


class Session:
    """One run."""

    def __init__(
        self,
        benchmarks: Sequence[Benchmark],
        platform: str,
        effort: Effort,
        seed: int,
        say: Say,
        recorder: ResultsWriter,
        places: Sequence[object] = (),
    ) -> None:
        self.recorder = recorder
        self._benchmarks = benchmarks
        self._platform = platform
        self._effort = effort
        self._order = random.Random(seed)
        self._say = say
        self._places = places
        self._log = machine_load.LoadLog()

    def run(self) -> None:
        """Measure round by round; what was measured before an interruption stays."""
        self.recorder.warnings += machine_load.warnings_before(machine_load.look())
        if self._effort.realtime:
            self.recorder.warnings.append(REALTIME)
        begin = last = time.monotonic()
        all_tasks = tasks(self._benchmarks)
        try:
            for number in range(self._effort.rounds):
                now = time.monotonic()
                # As far as one can tell from the last round, the next would end too late.
                if number and 2 * now - last - begin > self._effort.seconds:
                    limit = f"{number} of {self._effort.rounds} rounds were made within {self._effort.seconds:g} s"
                    self.recorder.warnings.append(limit)
                    break
                last = now
                self._round(all_tasks, number)
                self._say(f"round {number + 1} of {self._effort.rounds}, {time.monotonic() - begin:.0f} s")
        finally:
            self.recorder.warnings += self._log.warnings()
            self.recorder.taken = self._log.taken

    def _round(self, all_tasks: Sequence[BenchTask], number: int) -> None:
        heavy = number < self._effort.heavy
        for task in self._order.sample(all_tasks, len(all_tasks)):
            if heavy or not task.benchmarks[0].alone:
                self._measure(task, number)
        if heavy:
            for place in self._order.sample(self._places, len(self._places)):
                self._measure_in(place, number)

    def _measure_in(self, place: Any, number: int) -> None:
        """Measure what a profile is asked for, in that environment, of whose load this process knows little."""
        prefix = f"{place.name}/"
        if all(prefix + name in self.recorder.absent for name in in_containers.NAMES):
            return
        said = in_containers.said_in(place, self.arguments(in_containers.NAMES), self._said_by_worker)
        about = {one.name: metadata(one) for one in in_containers.benchmarks()}
        self.recorder.take([word for word in said if isinstance(word, Measured | NotMeasured)], number, about, prefix)

    def _measure(self, task: BenchTask, number: int) -> None:
        names = [one.name for one in task.benchmarks if one.name not in self.recorder.absent]
        if not names:
            return
        # Not what has a process for itself: hogs and crowds of threads would have the machine for themselves, too.
        realtime = ["--realtime"] if self._effort.realtime and not task.benchmarks[0].alone else []
        before = machine_load.Reading.now()
        said = self._said_by_worker([*realtime, *self.arguments(names)])
        self._log.worked(
            f"{task.label}, round {number + 1}", machine_load.Span.between(before, machine_load.Reading.now())
        )
        for word in said:
            if isinstance(word, Disturbance):
                self._log.disturbed(word)
        about = {one.name: metadata(one) for one in task.benchmarks}
        self.recorder.take([word for word in said if isinstance(word, Measured | NotMeasured)], number, about)

    def _said_by_worker(self, arguments: Sequence[str]) -> list[messages.Word]:
        command = [sys.executable, "-P", "-m", "worldswitch.harness.bench.worker", *arguments]
        names = [word for word in arguments if "::" in word]
        try:
            output = guardian.run(command, DEADLINE)
        except subprocess.CalledProcessError as problem:
            return _all_absent(names, f"its process ended ({problem.returncode}): {guardian.error_lines(problem)}")
        except subprocess.TimeoutExpired:
            return _all_absent(names, f"its process did not end within {DEADLINE:g} s")
        return list(messages.read(output.encode().splitlines()))

    def arguments(self, names: Sequence[str]) -> list[str]:
        """A worker's command line; its order is another each time."""
        options = ("--platform", self._platform, "--sweeps", str(self._effort.sweeps))
        return [*options, "--min-time", str(self._effort.min_time), "--seed", str(self._order.getrandbits(32)), *names]


def _all_absent(names: Sequence[str], reason: str) -> list[messages.Word]:
    return [NotMeasured(name, reason) for name in names]


@contextmanager
def recording(folder: Path, platform: str) -> Iterator[ResultsWriter]:
    """A recorder whose file is written at the end, also at that of an interrupted run."""
    recorder = ResultsWriter(platform)
    machine = fingerprint.take(None)
    try:
        yield recorder
    finally:
        recorder.write(folder / FILE, machine)
