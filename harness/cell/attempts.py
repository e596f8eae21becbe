"""Attempts at a trial: what a starved machine has spoilt is tried again, and never a failure.

    `timeout`, the scenario's own bound (`OutOfTime`), or a process left behind,
    on a machine that was starved (`Starvation`)      `error`, and one more attempt
    anything else                                     its result

The result of the last attempt counts, and names those before it.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import msgspec

from worldswitch.harness.cell.starvation import Meter, Starvation
from worldswitch.harness.cell.trial import Result
from worldswitch.harness.verdict import Verdict

#: How often a trial is tried at most.
ATTEMPTS = 3

STARVED = "the machine was starved"

#: With the value `count` a bound of time counts on a starved machine too.
VARIABLE = "WORLDSWITCH_STARVED"


def attempt(run: Callable[[], Result], again: Callable[[], object], measure: Callable[[], Meter] = Meter) -> Result:
    """Run a trial until its machine was not starved, or `ATTEMPTS` times; call `again` before each but the first."""
    earlier: list[str] = []
    while True:
        meter = measure()
        try:
            result = run()
        finally:
            measured = meter.stop()
        if not _is_spoilt(result, measured):
            return msgspec.structs.replace(result, attempts=tuple(earlier))
        reason = f"{STARVED}: {measured}; {result.verdict.value}: {result.reason}"
        if len(earlier) + 1 == ATTEMPTS:
            error = {"verdict": Verdict.ERROR, "reason": reason, "assertion": False, "attempts": tuple(earlier)}
            return msgspec.structs.replace(result, **error)
        earlier.append(reason)
        again()


def _is_spoilt(result: Result, measured: Starvation | None) -> bool:
    """Whether the result depends on time and the machine had none for the trial."""
    depends = result.verdict is Verdict.TIMEOUT or (result.verdict is Verdict.FAIL and result.out_of_time)
    excused = depends and os.environ.get(VARIABLE) != "count"
    return excused and measured is not None and measured.is_severe
