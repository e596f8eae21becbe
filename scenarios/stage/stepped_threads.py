"""Threads that do what they are told, one thing after the other, can be held at any step of it, and end in any way.

A *step* is a line of the platform's own Python code.  Who holds one thread at its n-th step while another one acts,
puts the two into an order that chance hardly ever brings about, and into the same one each time.  A platform that is
not written in Python has no such steps: then nothing is held, and two things simply happen at the same time.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from worldswitch.scenarios.stage.stage import Stage

#: A held thread goes on by itself after so many seconds, should whoever holds it have failed.
LONGEST_HOLD = 10.0

#: How often it is looked whether something has happened, in seconds.
GLANCE = 0.0001


def within(stage: Stage, seconds: float, predicate: Callable[[], object]) -> bool:
    """Whether `predicate` comes to hold in time."""
    end = time.monotonic() + stage.trial.seconds(seconds)
    while not predicate():
        if time.monotonic() > end:
            return False
        time.sleep(GLANCE)
    return True


def packages_of(platform: object) -> tuple[str, ...]:
    """Where the platform's own code is."""
    modules = {kind.__module__ for kind in type(platform).__mro__ if kind is not object}
    return tuple(sorted(module.rpartition(".")[0] or module for module in modules))


class Hold:
    """Holds the thread that enters it at its `step`-th step, until `release`."""

    def __init__(self, platform: object, step: int) -> None:
        self._packages = packages_of(platform)
        self._step = step
        self._go = threading.Event()
        self._reached = threading.Event()
        self.steps = 0
        self.place = ""

    @property
    def is_reached(self) -> bool:
        """The thread has come to its step."""
        return self._reached.is_set()

    def release(self) -> None:
        """Let it go on."""
        self._go.set()

    def __enter__(self) -> Hold:
        sys.settrace(self._at_call)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.settrace(None)

    def _at_call(self, frame: FrameType, event: str, argument: object) -> Any:
        module = frame.f_globals.get("__name__", "").rpartition(".")[0]
        return self._at_line if module in self._packages and not self.is_reached else None

    def _at_line(self, frame: FrameType, event: str, argument: object) -> Any:
        if event != "line" or self.is_reached:
            return self._at_line
        self.steps += 1
        if self.steps == self._step:
            self.place = f"line {frame.f_lineno} of {frame.f_globals.get('__name__')}, in {frame.f_code.co_name}"
            self._reached.set()
            self._go.wait(LONGEST_HOLD)
        return self._at_line


class Deed:
    """Something that a thread was told to do."""

    def __init__(self, function: Callable[[], object], hold: Hold | None = None) -> None:
        self._function = function
        self.hold = hold
        self._over = threading.Event()
        self._outcome: object = None

    @property
    def is_over(self) -> bool:
        """It is done, well or badly."""
        return self._over.is_set()

    def do(self) -> None:
        """Do it, on the calling thread."""
        try:
            if self.hold is None:
                self._outcome = self._function()
            else:
                with self.hold:
                    self._outcome = self._function()
        except Exception as error:
            self._outcome = error
        self._over.set()

    def outcome(self, stage: Stage, seconds: float, what: str) -> object:
        """What it returned or raised, which it must have in time."""
        if self.hold is not None:
            self.hold.release()
        assert self._over.wait(stage.trial.seconds(seconds)), f"{what}: not over within {seconds} s"
        return self._outcome


class Actor:
    """A thread that does one deed after the other."""

    def __init__(self) -> None:
        self._deeds: queue.SimpleQueue[Deed | Callable[[], None]] = queue.SimpleQueue()
        thread = threading.Thread(target=self._live, daemon=True)
        thread.start()
        self.tid = thread.native_id or 0

    def _live(self) -> None:
        while isinstance(deed := self._deeds.get(), Deed):
            deed.do()
            del deed  # and with it whatever its function holds
        deed()

    def tell(self, function: Callable[[], object], hold: Hold | None = None) -> Deed:
        """Have it do this next."""
        deed = Deed(function, hold)
        self._deeds.put(deed)
        return deed

    def end(self, stage: Stage, ending: Callable[[], None], seconds: float = 5.0) -> None:
        """Have it end, by the function `ending`, and see it gone."""
        self._deeds.put(ending)
        gone = within(stage, seconds, lambda: not Path(f"/proc/self/task/{self.tid}").exists())
        assert gone, f"a thread that ends {ending.__name__} is still there after {seconds} s"
