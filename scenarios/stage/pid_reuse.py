"""Reuse of ids: an unrelated process with the pid of a dead stub and the tid of its guest.

Only for a private PID namespace, in which nothing else creates processes or threads.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from worldswitch.scenarios.stage import children
from worldswitch.scenarios.stage.children import Child, Line
from worldswitch.scenarios.stage.stage import Stage

LAST_PID = Path("/proc/sys/kernel/ns_last_pid")


@contextmanager
def a_stranger(stage: Stage, pid: int, tid: int) -> Iterator[Child]:
    """A process `pid` with a thread `tid`, which blocks all signals; both ids must be free, or about to be."""
    made: list[Child] = []

    def has_both_ids() -> bool:
        # The kernel frees an id some time after its thread is gone.
        for other in made:
            _end(other)
        let_next_be(pid)
        made[:] = [children.fork(stage, partial(_live_with_thread, tid))]
        return (made[0].pid, made[0].hear(10)) == (pid, tid)

    try:
        stage.wait_until(has_both_ids, 10, f"the ids {pid} and {tid} can be reused")
        yield made[0]
    finally:
        for stranger in made:
            _end(stranger)


def _end(child: Child) -> None:
    child.kill()
    child.wait(5)


def let_next_be(number: int) -> None:
    """Set the number of the next process or thread of this PID namespace; it must be free."""
    LAST_PID.write_text(str(number - 1))


def _live_with_thread(tid: int, line: Line) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    over = threading.Event()
    thread = threading.Thread(target=over.wait, daemon=True)
    let_next_be(tid)
    thread.start()
    line.send(thread.native_id)
    over.wait()
