"""The latency of an interrupt: from the call in one thread to the return of the switch in another."""

from __future__ import annotations

import os
import queue
import random
import subprocess
import sys
import threading
import time

from worldswitch.harness.bench.benchmark import Subject
from worldswitch.harness.bench.workbench import NANO, Bench, Timer, UnexpectedEvent
from worldswitch.harness.contract import Interrupted

#: Each value is one interrupt, because an average would hide the long latencies.
SUBJECT = Subject(__file__, loops=1, burst=20, alone=True)

PATIENCE = 10.0  #: seconds after which an interrupt counts as lost


@SUBJECT.timed()
def idle(bench: Bench) -> Timer:
    """An interrupt of a computing guest on an otherwise idle machine.

    Timed: from before Context.interrupt until switch() has returned in the other thread.
    Not timed: the guest's random run time before that.
    """
    return _latency(bench)


@SUBJECT.timed()
def busy(bench: Bench) -> Timer:
    """An interrupt of a computing guest, with a computing process on each CPU.

    Timed and not timed: as `idle`.
    """
    for _ in os.sched_getaffinity(0):
        hog = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        bench.ending.callback(hog.wait)
        bench.ending.callback(hog.kill)
    return _latency(bench)


def _latency(bench: Bench) -> Timer:
    guest = bench.guest("spin", bench.platform())
    returned: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            event = guest.switch()
            now = time.perf_counter_ns()
            returned.put(now if isinstance(event, Interrupted) else None)

    def end() -> None:
        over.set()
        guest.context.interrupt()
        thread.join(PATIENCE)

    def timer(loops: int) -> float:
        total = 0
        for _ in range(loops):
            time.sleep(random.uniform(0.0002, 0.002))  # samples the guest at a random time; no ordering depends on it
            begin = time.perf_counter_ns()
            guest.context.interrupt()
            end = returned.get(timeout=PATIENCE)
            if end is None:
                raise UnexpectedEvent("the guest's switch returned, but not because of the interrupt")
            total += end - begin
        return total * NANO

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    bench.ending.callback(end)
    return timer
