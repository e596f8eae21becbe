"""Threads that run functions one after the other, can be held at any step of one, and end in any way.

A *step* is a line of the platform's own Python code.  Holding one thread at its n-th step while another thread acts
gives an interleaving that chance rarely produces, and the same one each time.  A platform that is not written in
Python has no such steps: nothing is held, and the two operations run concurrently.
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

from worldswitch.harness.verdict import in_time
from worldswitch.scenarios.stage.stage import Stage

#: Seconds after which a held thread continues by itself, should the holder have failed.
LONGEST_HOLD = 10.0

#: Seconds between two looks at a condition.
GLANCE = 0.0001


def within(stage: Stage, seconds: float, predicate: Callable[[], object]) -> bool:
    """Whether `predicate` becomes true in time."""
    end = time.monotonic() + stage.trial.seconds(seconds)
    while not predicate():
        if time.monotonic() > end:
            return False
        time.sleep(GLANCE)
    return True


def packages_of(platform: object) -> tuple[str, ...]:
    """The packages of the platform's own code."""
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
        """Whether the thread has reached its step."""
        return self._reached.is_set()

    def release(self) -> None:
        """Let the thread continue."""
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
            self._stay()
        return self._at_line

    def _stay(self) -> None:
        self._go.wait(LONGEST_HOLD)


class Insertion(Hold):
    """Calls a function at the `step`-th moment where a signal handler may run, in the thread that enters it.

    Python runs handlers when a function of Python begins, and after a call of C.  Moments in a finalizer do not count:
    Python reports the exception of a handler there and drops it.
    """

    def __init__(self, platform: object, step: int, handler: Callable[[], object] = lambda: None) -> None:
        super().__init__(platform, step)
        self._handler = handler

    def __enter__(self) -> Insertion:
        sys.setprofile(self._at_event)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.setprofile(None)

    def _at_event(self, frame: FrameType, event: str, argument: object) -> None:
        module = frame.f_globals.get("__name__", "").rpartition(".")[0]
        if module in self._packages and event in ("call", "c_return") and not _is_in_a_finalizer(frame):
            self._at_line(frame, "line", argument)

    def _stay(self) -> None:
        self._handler()


def _is_in_a_finalizer(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


class Task:
    """A function for a stepped thread to run."""

    def __init__(self, function: Callable[[], object], hold: Hold | None = None) -> None:
        self._function = function
        self.hold = hold
        self._over = threading.Event()
        self._outcome: object = None

    @property
    def is_over(self) -> bool:
        """Whether the function has returned or raised."""
        return self._over.is_set()

    def do(self) -> None:
        """Run the function on the calling thread."""
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
        """What the function returned or raised, which must happen in time."""
        if self.hold is not None:
            self.hold.release()
        in_time(self._over.wait(stage.trial.seconds(seconds)), f"{what}: not over within {seconds} s")
        return self._outcome


class SteppedThread:
    """A thread that runs one task after the other."""

    def __init__(self) -> None:
        self._deeds: queue.SimpleQueue[Task | Callable[[], None]] = queue.SimpleQueue()
        thread = threading.Thread(target=self._live, daemon=True)
        thread.start()
        self.tid = thread.native_id or 0

    def _live(self) -> None:
        while isinstance(task := self._deeds.get(), Task):
            task.do()
            del task  # and the references of its function
        task()

    def run(self, function: Callable[[], object], hold: Hold | None = None) -> Task:
        """Run `function` next."""
        task = Task(function, hold)
        self._deeds.put(task)
        return task

    def end(self, stage: Stage, ending: Callable[[], None], seconds: float = 5.0) -> None:
        """End the thread by the function `ending`, and wait until it is gone."""
        self._deeds.put(ending)
        gone = within(stage, seconds, lambda: not Path(f"/proc/self/task/{self.tid}").exists())
        in_time(gone, f"a thread that ends {ending.__name__} is still there after {seconds} s")
