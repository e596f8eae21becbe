"""The search for a schedule that fails, and for the shortest that still does.

Hypothesis draws the schedules, from one seed, and shrinks one that fails.  It wants to hear the same answer twice, and
races do not give it.  So an answer once given stands: who has failed once fails for good, and as soon as one has
failed, others are believed to pass only if they do so a few times in a row.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random

import hypothesis
from hypothesis import Phase, Verbosity
from hypothesis.errors import Flaky, NoSuchExample
from hypothesis.strategies import SearchStrategy

from worldswitch.scenarios.nemesis import Schedule, account_of

#: How often a candidate is played before it is believed to pass, once some other one has failed.
TRIES = 4
#: How many seconds are spent on shrinking.
PATIENCE = 12.0

#: Nothing is written to disk, nothing is timed, nobody is told but us.
SETTINGS = hypothesis.settings(
    database=None, deadline=None, phases=(Phase.generate, Phase.shrink), verbosity=Verbosity.quiet
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
        """The shortest schedule found that fails, None if all of `count` pass, or as many as there was time for."""
        try:
            settings = hypothesis.settings(SETTINGS, max_examples=count)
            return hypothesis.find(strategy, self._fails, settings=settings, random=Random(seed))
        except (NoSuchExample, Flaky):
            return min(self.failures, key=lambda one: (len(one), account_of(one)), default=None)

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
