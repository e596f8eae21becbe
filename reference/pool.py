"""Released stub processes, kept for reuse.  Seed: globalPool."""

from __future__ import annotations

from collections.abc import Callable

from worldswitch.harness.contract import Cause, Death, HostError, StubDied
from worldswitch.reference.locks import Lock
from worldswitch.reference.stubprocess import StubProcess


class Pool:
    """At most `limit` empty stubs.  Any thread may use it; the lock is never held while another is taken."""

    # Seams: `take` is overridden by mutants.

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = Lock()
        #: The stub released last is the last.
        self.stubs: list[StubProcess] = []

    def take(self, answers: Callable[[StubProcess], bool]) -> StubProcess | None:
        """Remove and return the stub released last that still `answers`, or None; housekeeping ends the others."""
        while True:
            with self._lock:
                if not self.stubs:
                    return None
                stub = self.stubs.pop()
            stub.look_for_vanished(thoroughly=True)
            if answers(stub):
                return stub

    def recycle(self, stub: StubProcess) -> bool:
        """Empty a released stub and keep it; returns False if the pool is full.  Creator thread only.

        A stub that is dead, or dies of it, is left to housekeeping.  Raises `HostError` if the stub could not be
        emptied: then it is ended, as no other tenant may see what is still mapped.
        """
        if stub.cause is not None:
            return True
        try:
            stub.empty()
        except StubDied:
            return True
        except HostError as error:
            stub.bury(Cause(Death.BROKEN, dump=str(error)))
            raise
        return self.add(stub)

    def add(self, stub: StubProcess) -> bool:
        """Keep an empty stub; returns False if the pool is full."""
        with self._lock:
            has_room = len(self.stubs) < self._limit
            if has_room:
                self.stubs.append(stub)
        return has_room

    def forget_dead(self) -> None:
        """Drop the stubs that died."""
        with self._lock:
            self.stubs = [stub for stub in self.stubs if stub.cause is None]
