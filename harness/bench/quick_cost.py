"""Measure for a second what a switch of the reference costs, beside the least that ptrace can do.

It needs no package of the extra `bench`, and runs in a process of its own, which a filter may kill.
"""

from __future__ import annotations

import random
import statistics
import time
import traceback
from collections.abc import Callable, Mapping, Sequence

import msgspec

from worldswitch.harness.bench.suite.limits import getpid, traced
from worldswitch.harness.bench.suite.switch import default_pinned
from worldswitch.harness.bench.workbench import Bench, Timer, UnexpectedEvent
from worldswitch.harness.cell.supervisor import Ending, supervise
from worldswitch.harness.contract import PlatformError, Unavailable
from worldswitch.harness.linux import processes
from worldswitch.harness.report.doctor.findings import Cost, NoCost, Spread

SECONDS = 1.0  #: of measuring
DEADLINE = 30.0  #: for the whole process, on a busy machine
VALUE_SECONDS = 0.003  #: that each value takes at least
FEWEST = 5  #: rounds, however slow they are

#: The errors of a platform or the kernel; others are mistakes of this program.
ERRORS = (PlatformError, OSError, UnexpectedEvent)


class _Output(msgspec.Struct):
    """What the measuring process returns: one of both."""

    cost: Cost | None = None
    none: NoCost | None = None


class _Values:
    """The values of one timer, in seconds a loop."""

    def __init__(self, timer: Timer) -> None:
        """Double the loops until a value takes `VALUE_SECONDS` each of three times, which also warms up."""
        self._timer, self._loops = timer, 1
        self.values: list[float] = []
        self.made = 0
        while self._shortest() < VALUE_SECONDS:
            self._loops *= 2

    def _shortest(self) -> float:
        """The shortest of three: a single one may contain the time of another process."""
        self.made += 3 * self._loops
        return min(self._timer(self._loops) for _ in range(3))

    def take(self) -> None:
        """Append the next value."""
        self.values.append(self._timer(self._loops) / self._loops)
        self.made += self._loops


def measure() -> Cost | NoCost:
    """Return the cost, or why there is none."""
    ending = supervise(lambda: msgspec.json.encode(_measured()), DEADLINE)
    if ending.payload is None:
        return NoCost(_reason(ending))
    output = msgspec.json.decode(ending.payload, type=_Output)
    return output.cost or output.none or NoCost("nothing was measured")


def _reason(ending: Ending) -> str:
    if ending.late:
        return f"no result within {DEADLINE:g} s"
    last = ending.output.strip().rpartition("\n")[2]
    how = processes.how_ended(ending.status or 0)
    return f"the measuring process: {how}" + (f": {last}" if last else "")


def _measured() -> _Output:
    switched = False
    try:
        with Bench() as bench:
            timers = {"switch": _Values(default_pinned(bench))}
            switched = True
            timers |= {"floor": _Values(traced(bench, "loop_sysemu")), "native": _Values(getpid(bench))}
            _take_rounds(timers)
        return _Output(cost=_cost(timers))
    except Unavailable as lack:
        return _Output(none=NoCost(lack.reason, switched, lack.remedy))
    except ERRORS as error:
        return _Output(none=NoCost(f"{error} at `{traceback.extract_tb(error.__traceback__)[-1].line}`", switched))


def _take_rounds(timers: Mapping[str, _Values], clock: Callable[[], float] = time.monotonic) -> None:
    """Take a value of each in every round, in a new order, for `SECONDS`: load and clock frequency drift."""
    end, rounds, order = clock() + SECONDS, 0, random.Random(0)
    while rounds < FEWEST or clock() < end:
        for one in order.sample(list(timers.values()), len(timers)):
            one.take()
        rounds += 1


def _cost(timers: Mapping[str, _Values]) -> Cost:
    switch, floor = timers["switch"], timers["floor"]
    return Cost(
        switches=switch.made,
        rounds=len(switch.values),
        switch=spread(switch.values),
        floor=spread(floor.values),
        native=spread(timers["native"].values),
        ratio=spread([one / other for one, other in zip(switch.values, floor.values, strict=True)]),
    )


def spread(values: Sequence[float]) -> Spread:
    """Return the median and the quartiles."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)
