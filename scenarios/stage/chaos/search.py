"""The search for a schedule that fails, and for a short one that still does.

Hypothesis draws the schedules, from one seed.  One that fails is shortened by leaving strikes out, first many at a time
and then one by one: Hypothesis would try far more, and each try that fails may have to wait for a guest that hangs.

Races do not give the same answer twice.  So an answer once given stands: who has failed once fails for good, and as
soon as one has failed, others are believed to pass only if they do so a few times in a row.
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

#: How often a candidate is played before it is believed to pass, once some other one has failed.
TRIES = 4
#: How many seconds are spent on shortening.
PATIENCE = 12.0

#: Nothing is written to disk, nothing is timed, nobody is told but us.
#: It tries the least schedule and one that is drawn; left to draw many, it would vary a few that it has.
SETTINGS = hypothesis.settings(
    database=None, deadline=None, phases=(Phase.generate,), verbosity=Verbosity.quiet, max_examples=2
)


class Search:
    """One search: `play` performs a schedule and raises what is wrong."""

    def __init__(self, play: Callable[[Schedule], None], seconds: float) -> None:
        self._play = play
        self._end = time.monotonic() + seconds
        self._passed: set[Schedule] = set()
        self.failures: dict[Schedule, Exception] = {}
        self.played = 0

    def go(self, strategy: SearchStrategy[Schedule], seed: int, count: int) -> Schedule | None:
        """A schedule that fails, shortened; None if all of `count` pass, or as many as there was time for.

        The n-th is the same whatever the count.
        """
        for number in range(count):
            if self.failures or time.monotonic() > self._end:
                break
            with contextlib.suppress(NoSuchExample, Flaky):
                hypothesis.find(strategy, self._fails, settings=SETTINGS, random=Random(f"{seed} {number}"))
        failing = next(iter(self.failures), None)
        return failing and self._shortened(failing)

    def _shortened(self, schedule: Schedule) -> Schedule:
        """What still fails when nothing more can be left out of it."""
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
            self.played += 1
            try:
                self._play(schedule)
            except Exception as error:
                if not self.failures:
                    self._end = time.monotonic() + PATIENCE
                self.failures[schedule] = error
                return
        self._passed.add(schedule)
