"""Finds the stubs that died or whose tracer vanished, and reaps them.  All on the creator thread, between requests."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

from worldswitch.harness.contract import Cause, Death
from worldswitch.reference.locks import Lock
from worldswitch.reference.pool import Pool
from worldswitch.reference.stubprocess import StubProcess
from worldswitch.reference.tracing_threads import waits_for

#: How often idle stubs are examined, in seconds: the threads of a stub that dies while idle are zombies, which only a
#: wait finds.
ROUND = 0.1

#: How many stubs are examined in one round: each takes the interpreter's lock, which switches need, for some 10 us.
STUBS_IN_A_ROUND = 64

#: The pause between two looks at the dying, and how long their end is waited for, in seconds.
DYING_ROUND = 0.002
LAST_WAIT = 5.0


class Housekeeping:
    """All stubs of a platform that are not reaped, and the care for them.  The lock is held alone."""

    # Seams: `end_all` is overridden by mutants.

    def __init__(self, pool: Pool, quiet_sigchld: Callable[[], None]) -> None:
        self._pool = pool
        self._quiet_sigchld = quiet_sigchld
        self._lock = Lock()
        #: Those examined next are first.
        self.stubs: list[StubProcess] = []
        self._next_look = 0.0

    def add(self, stub: StubProcess) -> None:
        """Look after a new stub."""
        with self._lock:
            self.stubs.append(stub)

    def housekeep(self) -> float:
        """See `creator.Housekeeper`.  Runs after each request too, so its cost must not grow with the stubs."""
        if time.monotonic() >= self._next_look:
            self._look_after(self._next_stubs())
            self._next_look = time.monotonic() + ROUND
        dead = [stub for stub in self._all() if stub.cause is not None]
        dying = [stub for stub in dead if not stub.reap()]
        if dead:
            with self._lock:
                self.stubs = [stub for stub in self.stubs if not stub.reaped.is_set()]
            self._pool.forget_dead()
        return DYING_ROUND if dying else max(self._next_look - time.monotonic(), 0.0)

    def end_after(self, failure: BaseException) -> None:
        """See `creator.Housekeeper`: bury every stub."""
        cause = Cause(Death.BROKEN, dump=f"the platform's creator thread failed: {failure!r}")
        for stub in self._all():
            stub.bury(cause)

    def end_all(self) -> None:
        """Bury and reap every stub: on the creator thread, or on any thread after the creator has ended."""
        stubs = self._all()
        for stub in stubs:
            stub.bury(Cause(Death.CLOSED))
        self.reap(stubs)

    def reap(self, stubs: list[StubProcess]) -> None:
        """Reap stubs that are dying, for at most `LAST_WAIT` seconds."""
        give_up = time.monotonic() + LAST_WAIT
        while (stubs := [stub for stub in stubs if not stub.reap()]) and time.monotonic() < give_up:
            time.sleep(DYING_ROUND / 4)

    def _all(self) -> list[StubProcess]:
        with self._lock:
            return list(self.stubs)

    def _next_stubs(self) -> list[StubProcess]:
        """The stubs of this round; they go to the end of the line."""
        with self._lock:
            some = self.stubs[:STUBS_IN_A_ROUND]
            self.stubs = self.stubs[STUBS_IN_A_ROUND:] + some
        return some

    def _look_after(self, stubs: list[StubProcess]) -> None:
        self._quiet_sigchld()
        waits = cache(waits_for)  # a thread that traces in many stubs is looked up once
        for stub in stubs:
            stub.look_for_death()
            stub.look_for_vanished()
            stub.look_for_stolen_stops(waits)
