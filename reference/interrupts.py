"""The interrupt protocol: how `Context.interrupt` ends the running switch, or the next one, exactly once.

The truth is a flag, `_pending`.  The signal that goes to the stub thread is only a nudge to stop and look at the flag:

    interrupt (any thread)              switch (the tracing thread)
    1. set `_pending`                   1. publish the tracee in `_running`
    2. read `_running`                  2. read `_pending`: if set, return `Interrupted` without running the guest
    3. if a tracee is there, nudge it   3. run the guest; at each stop that is neither a fault nor a system call,
                                           read `_pending` again: if set, return `Interrupted`, else go on
                                        4. clear `_pending` when `Interrupted` is returned, and only then

Each side writes before it reads, and the interpreter's lock orders the four accesses (on a free-threaded Python nothing
would: these would have to be atomic).  So either the switch sees the flag, or `interrupt` sees the tracee.

A nudge stays pending in the kernel until the thread runs, so one that arrives while the tracee stands in a stop takes
effect when it is resumed.  A nudge that comes late, twice or from another process is a stop that finds the flag clear.
It cannot make an interrupt, and it cannot lose one.

Nothing in a signal's siginfo is believed: si_pid is 0 across PID namespaces and with a full signal queue, and any
process of the same user may forge it.  A secret in the signal is not needed.  A standard signal, unlike a real-time
one, needs no place in the queue (RLIMIT_SIGPENDING) and coalesces.  Seed: interrupt.Forwarder, which believes si_pid.
"""

from __future__ import annotations

import signal

from worldswitch.harness.contract import Event, Interrupted
from worldswitch.reference.services import Services
from worldswitch.reference.tracee import Tracee

#: The nudge.  Its default action is to be ignored, so one that arrives too late does nothing.
NUDGE = signal.SIGURG

INTERRUPTED = Interrupted()


class Interruptible:
    """The part of a context that can be interrupted.  `switch` itself does step 1 and clears `_running` at its end."""

    # Seams: `interrupt`, `nudge` and `_interruption` are overridden by mutants.

    def __init__(self, platform: Services) -> None:
        self.platform = platform
        #: An interrupt was asked for and not returned yet.
        self._pending = False
        #: The tracee of the switch that is under way.
        self._running: Tracee | None = None

    def interrupt(self) -> None:
        """End the running switch, or the next; see the contract.  Seed: NotifyInterrupt."""
        self.platform.check_ours()
        self._pending = True
        tracee = self._running
        if tracee is not None:
            self.nudge(tracee)

    def nudge(self, tracee: Tracee) -> None:
        """Make the tracee stop.  A dead one needs no nudge: its switch is ending anyway."""
        tracee.stub.signal(tracee.tid, NUDGE)

    def _interruption(self) -> Event | None:
        """What a stop that nothing else explains is: an interrupt, or nothing."""
        return INTERRUPTED if self._pending else None

    def is_running_in(self, tracee: Tracee) -> bool:
        """Whether a switch is under way in that stub thread, or about to be."""
        return self._running is tracee
