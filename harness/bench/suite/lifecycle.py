"""The cost of starting and ending: a platform, and a tracing thread."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from worldswitch.harness.bench.benchmark import Subject
from worldswitch.harness.bench.workbench import NANO, Bench, BenchGuest, Timer, timed_each
from worldswitch.harness.contract import Options, Platform

SUBJECT = Subject(__file__)


@SUBJECT.timed()
def platform_start(bench: Bench) -> Timer:
    """A platform, ready for address spaces; the reference makes a first stub and checks what it can do.

    Timed: the platform's constructor.  Not timed: Platform.close, importing it.
    """
    made: list[Platform] = []
    return timed_each(lambda: made.append(bench.new_platform(Options())), lambda: made.pop().close())


@SUBJECT.timed()
def thread_acquire(bench: Bench) -> Timer:
    """A new thread's first switch: it attaches a stub thread that another thread parked.

    Timed: the first switch() of a thread.  Not timed: starting and ending the thread.
    """
    guest = bench.guest("getpid", bench.platform())
    return _timed_in_threads(guest, hand_back=False)


@SUBJECT.timed()
def thread_hand_back(bench: Bench) -> Timer:
    """The end of a tracing thread, which parks its stub thread for others.

    Timed: from the thread's last line in Python until the kernel has no such thread.
    Not timed: starting it and its switch.
    """
    guest = bench.guest("getpid", bench.platform())
    return _timed_in_threads(guest, hand_back=True)


def _timed_in_threads(guest: BenchGuest, *, hand_back: bool) -> Timer:
    def timer(loops: int) -> float:
        total = 0
        for _ in range(loops):
            moments: list[int] = []
            thread = threading.Thread(target=_one_switch, args=(guest, moments))
            thread.start()
            task = Path(f"/proc/self/task/{thread.native_id}")
            thread.join()  # bounded by the session's deadline for this process
            # join() may return before the thread's destructors have run.
            while task.exists():
                time.sleep(0)
            begin, switched, ends = moments
            total += time.perf_counter_ns() - ends if hand_back else switched - begin
        return total * NANO

    return timer


def _one_switch(guest: BenchGuest, moments: list[int]) -> None:
    begin = time.perf_counter_ns()
    guest.switch()
    moments += (begin, time.perf_counter_ns())
    guest.context.pull()
    moments.append(time.perf_counter_ns())
