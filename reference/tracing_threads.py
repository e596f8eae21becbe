"""Threads of this process that trace, and whether they still exist.

A thread that ends normally parks its tracees (tracee.c: park_all).  One that makes the bare exit system call runs no
destructor, and only the kernel's list of threads shows that it is gone.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path

from worldswitch.reference._core import lib


def thread_stat(pid: int, tid: int) -> tuple[str, int] | None:
    """A thread's state and start time, None if there is no such thread."""
    try:
        text = Path(f"/proc/{pid}/task/{tid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])


def waits_for(tid: int) -> int:
    """The child that a thread of this process waits for in wait4; 0 if it does not, or the kernel does not tell."""
    try:
        fields = Path(f"/proc/self/task/{tid}/syscall").read_text().split()
    except OSError:
        return 0
    return int(fields[1], 16) if fields[0] == str(lib.SYS_wait4) else 0


#: A start time that could not be looked up.
UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class TracingThread:
    """A tracing thread.  Thread ids recycle; together with the start time they do not."""

    tid: int
    start_time: int

    @classmethod
    def current(cls) -> TracingThread:
        """The calling thread."""
        tid = threading.get_native_id()
        stat = thread_stat(os.getpid(), tid)
        return cls(tid, stat[1] if stat else UNKNOWN)

    def has_vanished(self, *, thoroughly: bool) -> bool:
        """Whether the thread is gone.

        The quick look checks that the id exists.  The thorough one also finds a recycled id, and a main thread that
        ended before its process: such a zombie keeps its id and accepts signals.
        """
        if lib.signal_thread(os.getpid(), self.tid, 0) != 0:
            return True
        if not thoroughly and self.tid != os.getpid():
            return False
        stat = thread_stat(os.getpid(), self.tid)
        if stat is None:  # perhaps no file can be opened
            return bool(lib.signal_thread(os.getpid(), self.tid, 0) != 0)
        return stat[0] in "ZX" or self.start_time not in (UNKNOWN, stat[1])
