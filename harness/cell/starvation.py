"""How much of the machine other processes took from a trial while it ran.

A heartbeat thread of the judging process measures how late it wakes, and how many threads want a CPU.  `/proc/stat`
shows how much of the CPUs' time was neither idle nor used by the trial's own processes: other processes or a hypervisor
took it.  Only both together are starvation, so a trial that occupies all CPUs itself is not starved.
"""

from __future__ import annotations

import contextlib
import os
import resource
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from worldswitch.harness.linux import processes

#: Seconds until a trial is measured, because most are shorter, and between two heartbeats.
PATIENCE, BEAT = 0.2, 0.02

#: The machine is starved if others took this share of the CPUs' time and the heartbeat waited for this share of the
#: time; or for the lower one, while this many threads of others wanted each CPU.  The scheduler prefers a thread that
#: sleeps much, so the heartbeat is less late than a trial that computes.
TAKEN, LATE, A_LITTLE_LATE, CROWD = 0.6, 0.5, 0.05, 4.0

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Starvation:
    """What was measured beside a trial."""

    late: float  #: the share of the time that the heartbeat waited for a CPU
    taken: float  #: the share of the CPUs' time that was neither idle nor used by the trial
    crowd: float  #: the threads of others that wanted each CPU, on average

    @property
    def is_severe(self) -> bool:
        """Whether a bound of time says nothing about the platform."""
        crowded = self.crowd >= CROWD and self.late >= A_LITTLE_LATE
        return self.taken >= TAKEN and (crowded or self.late >= LATE)

    def __str__(self) -> str:
        return (
            f"other processes took {self.taken:.0%} of the CPUs' time, {self.crowd:.1f} of their threads wanted each "
            f"CPU, and a thread that slept {BEAT * 1000:.0f} ms at a time woke late for {self.late:.0%} of the time"
        )


class Meter:
    """Measures a trial from its making to `stop`, if the trial takes longer than `PATIENCE`."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._measured: Starvation | None = None
        self._thread = threading.Thread(target=self._measure, name="heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> Starvation | None:
        """Return what was measured; call it when the trial's processes have ended."""
        self._over.set()
        self._thread.join()
        return self._measured

    def _measure(self) -> None:
        if self._over.wait(PATIENCE):
            return
        begin, idle, own = time.monotonic(), _idle(), _own()
        late, running = self._beat()
        cpus, seconds = len(os.sched_getaffinity(0)), time.monotonic() - begin
        used = (_own() - own) / (cpus * seconds)
        taken = min(1.0, max(0.0, 1 - (_idle() - idle) / (cpus * seconds) - used))
        # Of the threads that want a CPU, the trial's are about as many as its share of the time.
        crowd = running / (os.cpu_count() or 1) * taken / max(taken + used, 0.01)
        self._measured = Starvation(min(1.0, late / seconds), taken, crowd)

    def _beat(self) -> tuple[float, float]:
        """Sleep and wake until the trial is over; how many seconds it woke late, and the mean of running threads."""
        late, running = 0.0, [_running()]
        while True:
            begin = time.monotonic()
            if self._over.wait(BEAT):
                return late, sum(running) / len(running)
            late += max(0.0, time.monotonic() - begin - BEAT)
            running.append(_running())


def _running() -> int:
    """Return how many threads of the machine want a CPU now, without the calling one; 0 if the kernel does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return max(0, int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0]) - 1)
    return 0


def _idle() -> float:
    """Return the seconds for which the CPUs that this process may use had nothing to do."""
    usable = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    ticks = 0
    with contextlib.suppress(OSError):
        for line in Path("/proc/stat").read_text().splitlines():
            name, *fields = line.split()
            if name in usable:
                ticks += int(fields[3]) + int(fields[4])  # idle and iowait
    return ticks / _TICK


def _own() -> float:
    """Return the CPU time of the processes below this one, with those that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    ticks = 0
    for pid in processes.descendants(os.getpid()):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))  # its own user and system time, and of the children it waited for
    return ended.ru_utime + ended.ru_stime + ticks / _TICK
