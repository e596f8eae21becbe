"""Is the machine quiet enough?  What others used of the CPUs, what the hypervisor took, how long tasks had to wait."""

from __future__ import annotations

import os
import resource
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from worldswitch.harness.bench.messages import Disturbance

#: Shares from which on a warning is given: of all CPUs used by others, of a spinning thread's time taken from it.
OTHERS = 0.05
TAKEN = 0.02
#: Seconds that are watched before a run.
LOOK = 1.0


@dataclass(frozen=True, slots=True)
class Reading:
    """The machine's counters at a moment, in seconds since it started."""

    at: float
    busy: float
    stolen: float
    waiting: float  #: in which at least one task waited for a CPU
    own: float  #: used by this process and its children that have ended

    @classmethod
    def now(cls) -> Reading:
        """Read them."""
        return cls(time.monotonic(), *_processor_times(), _pressure(), _own())


@dataclass(frozen=True, slots=True)
class Span:
    """What happened between two readings, as shares."""

    others: float  #: of all CPUs, used by other processes
    stolen: float  #: of all CPUs, taken by the hypervisor
    waiting: float  #: of the time, in which a task waited for a CPU; ours, too, wait for each other

    @classmethod
    def between(cls, before: Reading, after: Reading) -> Span:
        """Compare them; no time between is no load."""
        wall = max(after.at - before.at, 1e-9)
        cpus = wall * (os.cpu_count() or 1)
        foreign = after.busy - before.busy - (after.own - before.own)
        return cls(
            max(foreign / cpus, 0.0),
            max((after.stolen - before.stolen) / cpus, 0.0),
            (after.waiting - before.waiting) / wall,
        )


def _processor_times() -> tuple[float, float]:
    """Seconds that all CPUs were busy, and that were stolen from them (man 5 proc, /proc/stat)."""
    tick = os.sysconf("SC_CLK_TCK")
    with open("/proc/stat") as lines:
        user, nice, system, _, _, irq, softirq, stolen, *_ = map(int, lines.readline().split()[1:])
    return (user + nice + system + irq + softirq) / tick, stolen / tick


def _pressure() -> float:
    """Seconds in which a task waited for a CPU; 0 where the kernel does not count them."""
    with suppress(OSError):
        some = Path("/proc/pressure/cpu").read_text().partition("\n")[0]
        return int(some.rpartition("total=")[2]) * 1e-6
    return 0.0


def _own() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def watch(seconds: float = LOOK) -> Span:
    """Watch the machine for a moment in which this process does nothing."""
    before = Reading.now()
    time.sleep(seconds)
    return Span.between(before, Reading.now())


def warnings_before(span: Span) -> list[str]:
    """What there is to say of a machine before a run."""
    said = []
    if span.others > OTHERS:
        said.append(f"the machine is not quiet: before the run others used {span.others:.0%} of the CPUs")
    if span.waiting > OTHERS:
        said.append(f"the machine is not quiet: before the run tasks waited for a CPU {span.waiting:.0%} of the time")
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    with suppress(OSError):
        if (name := governor.read_text().strip()) != "performance":
            said.append(f"the CPUs' frequency governor is {name!r}, not 'performance'")
    return said


class LoadLog:
    """What disturbed a run's workers."""

    def __init__(self) -> None:
        self._spans: list[tuple[str, Span]] = []
        self._wall = self._taken = 0.0
        self._involuntary = 0

    def add_span(self, what: str, span: Span) -> None:
        """A worker measured meanwhile."""
        self._spans.append((what, span))

    def add_disturbance(self, seen: Disturbance) -> None:
        """A worker said how its spinning went."""
        self._wall += seen.wall
        self._taken += seen.taken
        self._involuntary += seen.involuntary

    @property
    def taken(self) -> float:
        """The share of its time that a thread lost that only spins."""
        return self._taken / self._wall if self._wall else 0.0

    def warnings(self) -> list[str]:
        """What there is to say of the run as a whole."""
        said = []
        noisy = [(span.others, what) for what, span in self._spans if span.others > OTHERS]
        if noisy:
            share, what = max(noisy)
            said.append(
                f"other processes used more than {OTHERS:.0%} of the CPUs in {len(noisy)} of {len(self._spans)} "
                f"measurements, at worst {share:.0%} ({what})"
            )
        stolen = [span.stolen for _, span in self._spans if span.stolen > TAKEN]
        if stolen:
            said.append(f"the hypervisor took up to {max(stolen):.0%} of the CPUs")
        if self.taken > TAKEN:
            said.append(
                f"another process took the CPU: {self.taken:.0%} of a thread's time that only spins "
                f"(made to wait {self._involuntary} times)"
            )
        return said
