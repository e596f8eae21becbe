"""Python signal handlers that run while the main thread switches: they interrupt the guest, or raise."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from worldswitch.scenarios.stage.accounts import Accounts
from worldswitch.scenarios.stage.stage import Guest
from worldswitch.scenarios.stage.steady_guests import outcome_of

#: The shortest and longest delay of an alarm, in seconds.
EARLIEST, LATEST = 0.0002, 0.002


@contextmanager
def timer_handler(guest: Guest) -> Iterator[list[int]]:
    """Interrupt `guest` once, from a Python handler, when a timer expires while the guest computes."""
    handled: list[int] = []
    count = guest.data.word()

    def handle(signo: int, _: object) -> None:
        if guest.data.word() > count and not handled:
            handled.append(signo)
            guest.context.interrupt()

    signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    try:
        yield handled
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


class Alarm(Exception):
    """Raised by the signal handler."""


class Alarmed(Accounts):
    """An accounting guest, switched by a main thread whose signal handler raises out of the switch again and again."""

    alarms = 0
    _exposed = False

    def __enter__(self) -> Alarmed:
        signal.signal(signal.SIGALRM, self._handle)
        signal.setitimer(signal.ITIMER_REAL, LATEST)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    def switch(self) -> object:
        """Switch until an event is returned, however often an exception replaces it."""
        while True:
            try:
                return outcome_of(self._exposed_switch)
            except Alarm:
                self.alarms += 1

    def _exposed_switch(self) -> object:
        context, space, state = self.guest.context, self.guest.space, self.guest.state
        try:
            self._exposed = True
            return context.switch(space, state)
        finally:
            self._exposed = False

    def _handle(self, _: int, frame: FrameType | None) -> None:
        """Raise inside the platform only; in a frame of our own, the exception would discard a returned event."""
        signal.setitimer(signal.ITIMER_REAL, random.uniform(EARLIEST, LATEST))
        if self._exposed and frame is not None and frame.f_code is not Alarmed._exposed_switch.__code__:
            raise Alarm
