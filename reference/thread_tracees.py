"""The stub threads that the calling thread traces.

The kernel binds a tracee to one tracing thread, so this is thread-local.  Nothing is keyed by thread ids, which
recycle: the entries end with the thread, and the C core parks its tracees.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from worldswitch.reference.stubprocess import StubProcess, Use
from worldswitch.reference.tracee import Tracee


class _Mine(threading.local):
    """The calling thread's tracees, by stub."""

    def __init__(self) -> None:
        self.guests: dict[StubProcess, Tracee] = {}
        self.calls: dict[StubProcess, Tracee] = {}


mine = _Mine()


def tracee_for(acquire: Callable[[StubProcess, Use], Tracee], stub: StubProcess, use: Use) -> Tracee:
    """The calling thread's tracee in `stub`, acquired if it has none.  Raises `StubDied`, `HostError`, `Released`."""
    table = mine.guests if use is Use.GUEST else mine.calls
    tracee = table.get(stub)
    if tracee is None:
        for dead in [other for other in table if other.cause is not None]:
            del table[dead]
        tracee = table[stub] = acquire(stub, use)
    return tracee


def _forget_in_child() -> None:
    """Empty the table in a forked child, which traces nothing."""
    mine.guests.clear()
    mine.calls.clear()


os.register_at_fork(after_in_child=_forget_in_child)
