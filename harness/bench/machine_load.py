"""Detects load by others: CPU use of other processes, time stolen by the hypervisor, time spent waiting for a CPU."""

from __future__ import annotations

import os
import resource
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from worldswitch.harness.bench.messages import Disturbance

#: Thresholds of warnings, as fractions: CPU use by others, and CPU time taken from a busy-loop thread.
OTHERS = 0.05
TAKEN = 0.02
#: Seconds for which the machine is watched before a run.
LOOK = 1.0


@dataclass(frozen=True, slots=True)
class Reading:
    """The machine's counters at one time, in seconds since boot; CPU times are summed over all CPUs."""

    at: float
    busy: float
    stolen: float
    waiting: float  #: time in which at least one task waited for a CPU
    own: float  #: CPU time of this process and of its reaped children

    @classmethod
    def now(cls) -> Reading:
        """Read the counters."""
        return cls(time.monotonic(), *_processor_times(), _pressure(), _own())


@dataclass(frozen=True, slots=True)
class Span:
    """The load between two readings, as fractions."""

    others: float  #: CPU time of other processes, of all CPUs'
    stolen: float  #: CPU time taken by the hypervisor, of all CPUs'
    waiting: float  #: time in which a task waited for a CPU; includes this run's own tasks

    @classmethod
    def between(cls, before: Reading, after: Reading) -> Span:
        """Return the load between two readings; 0 if no time passed."""
        wall = max(after.at - before.at, 1e-9)
        cpus = wall * (os.cpu_count() or 1)
        foreign = after.busy - before.busy - (after.own - before.own)
        return cls(
            max(foreign / cpus, 0.0),
            max((after.stolen - before.stolen) / cpus, 0.0),
            (after.waiting - before.waiting) / wall,
        )


def _processor_times() -> tuple[float, float]:
    """Busy and stolen seconds, summed over all CPUs (man 5 proc, /proc/stat)."""
    tick = os.sysconf("SC_CLK_TCK")
    with open("/proc/stat") as lines:
        user, nice, system, _, _, irq, softirq, stolen, *_ = map(int, lines.readline().split()[1:])
    return (user + nice + system + irq + softirq) / tick, stolen / tick


def _pressure() -> float:
    """Seconds in which a task waited for a CPU; 0 if the kernel has no PSI."""
    with suppress(OSError):
        some = Path("/proc/pressure/cpu").read_text().partition("\n")[0]
        return int(some.rpartition("total=")[2]) * 1e-6
    return 0.0


def _own() -> float:
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def watch(seconds: float = LOOK) -> Span:
    """Return the load while this process sleeps for some seconds."""
    before = Reading.now()
    time.sleep(seconds)
    return Span.between(before, Reading.now())


def warnings_before(span: Span) -> list[str]:
    """Return warnings on the state of the machine before a run."""
    warnings = []
    if span.others > OTHERS:
        warnings.append(f"the machine is not quiet: before the run others used {span.others:.0%} of the CPUs")
    if span.waiting > OTHERS:
        warnings.append(
            f"the machine is not quiet: before the run tasks waited for a CPU {span.waiting:.0%} of the time"
        )
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    with suppress(OSError):
        if (name := governor.read_text().strip()) != "performance":
            warnings.append(f"the CPUs' frequency governor is {name!r}, not 'performance'")
    return warnings


class LoadLog:
    """Collects the load during a run's measurements."""

    def __init__(self) -> None:
        self._spans: list[tuple[str, Span]] = []
        self._disturbances: list[Disturbance] = []

    def add_span(self, what: str, span: Span) -> None:
        """Add the load during one measurement."""
        self._spans.append((what, span))

    def add_disturbance(self, disturbance: Disturbance) -> None:
        """Add the disturbance that a worker measured by spinning."""
        self._disturbances.append(disturbance)

    @property
    def taken(self) -> float:
        """CPU time stolen from a busy-loop thread, as a fraction."""
        wall = sum(one.wall for one in self._disturbances)
        return sum(one.taken for one in self._disturbances) / wall if wall else 0.0

    def warnings(self) -> list[str]:
        """Return warnings on the load during the whole run."""
        warnings = []
        noisy = [(span.others, what) for what, span in self._spans if span.others > OTHERS]
        if noisy:
            share, what = max(noisy)
            warnings.append(
                f"other processes used more than {OTHERS:.0%} of the CPUs in {len(noisy)} of {len(self._spans)} "
                f"measurements, at worst {share:.0%} ({what})"
            )
        stolen = [span.stolen for _, span in self._spans if span.stolen > TAKEN]
        if stolen:
            warnings.append(f"the hypervisor took up to {max(stolen):.0%} of the CPUs")
        if self.taken > TAKEN:
            switches = sum(one.involuntary for one in self._disturbances)
            warnings.append(
                f"other processes took {self.taken:.0%} of a busy-loop thread's CPU time "
                f"({switches} involuntary context switches)"
            )
        return warnings
