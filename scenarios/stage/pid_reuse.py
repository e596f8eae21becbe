"""Ids that come again: a stranger that bears the pid of a stub and the tid of its guest, when both are gone.

Only for a PID namespace of one's own, where nobody else makes processes or threads meanwhile.
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
    """A process `pid` with a thread `tid`, which blocks all signals; both ids must be free."""
    let_next_be(pid)
    stranger = children.fork(stage, partial(_live_with_thread, tid))
    try:
        assert (stranger.pid, stranger.hear(10)) == (pid, tid), "the ids were not to be had again"
        yield stranger
    finally:
        stranger.kill()
        stranger.wait(5)


def let_next_be(number: int) -> None:
    """Have the next process or thread of this PID namespace bear this number, if it is free."""
    LAST_PID.write_text(str(number - 1))


def _live_with_thread(tid: int, line: Line) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    over = threading.Event()
    thread = threading.Thread(target=over.wait, daemon=True)
    let_next_be(tid)
    thread.start()
    line.send(thread.native_id)
    over.wait()
