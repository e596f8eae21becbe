"""The search for a schedule that fails, and for a shorter one that still fails.

Hypothesis draws the schedules from one seed.  A failing one is shortened by leaving strikes out, first many at a time
and then one by one: Hypothesis would try far more, and each failing try may have to wait for a hanging guest.

Races do not repeat reliably.  A schedule that failed once counts as failing, and once one has failed, others count as
passing only after several passes in a row.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from random import Random

import hypothesis
from hypothesis import Phase, Verbosity
from hypothesis.errors import Flaky, NoSuchExample
from hypothesis.strategies import SearchStrategy

from worldswitch.scenarios.stage.chaos.nemesis import Schedule

#: How often a candidate must pass, once another one has failed.
TRIES = 4
#: Seconds spent on shortening.
PATIENCE = 12.0

#: No database, no deadline, no output. Two examples: the minimal schedule and a drawn one; of more, most would be
#: variations.
SETTINGS = hypothesis.settings(
    database=None, deadline=None, phases=(Phase.generate,), verbosity=Verbosity.quiet, max_examples=2
)


class Search:
    """One search; `perform` runs a schedule and raises if it fails."""

    def __init__(self, perform: Callable[[Schedule], None], seconds: float) -> None:
        self._perform = perform
        self._end = time.monotonic() + seconds
        self._passed: set[Schedule] = set()
        self.failures: dict[Schedule, Exception] = {}
        self.performed = 0

    def go(self, strategy: SearchStrategy[Schedule], seed: int, count: int) -> Schedule | None:
        """A failing schedule, shortened; None if all of `count`, or as many as time allowed, pass.

        The n-th schedule does not depend on the count.
        """
        for number in range(count):
            if self.failures or time.monotonic() > self._end:
                break
            with contextlib.suppress(NoSuchExample, Flaky):
                hypothesis.find(strategy, self._fails, settings=SETTINGS, random=Random(f"{seed} {number}"))
        failing = next(iter(self.failures), None)
        return failing and self._shortened(failing)

    def _shortened(self, schedule: Schedule) -> Schedule:
        """The shortest failing schedule found by leaving strikes out."""
        size = len(schedule) // 2
        while size:
            for begin in range(0, len(schedule), size):
                rest = schedule[:begin] + schedule[begin + size :]
                if rest and self._fails(rest):
                    schedule = rest
                    break
            else:
                size //= 2
        return schedule

    def _fails(self, schedule: Schedule) -> bool:
        if schedule in self.failures:
            return True
        if schedule not in self._passed and time.monotonic() < self._end:
            self._try(schedule, TRIES if self.failures else 1)
        return schedule in self.failures

    def _try(self, schedule: Schedule, times: int) -> None:
        for _ in range(times):
            self.performed += 1
            try:
                self._perform(schedule)
            except Exception as error:
                if not self.failures:
                    self._end = time.monotonic() + PATIENCE
                self.failures[schedule] = error
                return
        self._passed.add(schedule)
