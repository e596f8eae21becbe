"""The verdicts of a trial.

`error` and `miss` never count as success: they mean that the trial gave no information.
"""

import enum


class OutOfTime(AssertionError):
    """What a scenario waited for did not happen in time; on a starved machine this says nothing about the platform."""


def in_time(happened: object, claim: str) -> None:
    """Raise `OutOfTime` unless it `happened`: an assertion for bounds of time."""
    if not happened:
        raise OutOfTime(claim)


class Verdict(enum.StrEnum):
    """The outcome of one scenario on one platform in one environment."""

    PASS = "pass"  #: the claim held
    FAIL = "fail"  #: the scenario's assertion failed, the platform raised, or a process outlived the trial
    TIMEOUT = "timeout"  #: no outcome before the outer deadline
    CRASH = "crash"  #: the trial's process died
    UNSUPPORTED = "unsupported"  #: a probe shows that the environment lacks something the scenario needs
    BLOCKED = "blocked"  #: a probe shows that the profile forbids something the scenario needs
    ERROR = "error"  #: a fault of the scenario or the harness
    MISS = "miss"  #: planned, but never ran

    @property
    def is_verdict(self) -> bool:
        """True if the trial gave information about the platform or the environment."""
        return self not in (Verdict.ERROR, Verdict.MISS)


#: Worst first: of several verdicts, the first in this order counts.
SEVERITY = (
    *(Verdict.ERROR, Verdict.MISS),
    *(Verdict.CRASH, Verdict.TIMEOUT, Verdict.FAIL),
    *(Verdict.BLOCKED, Verdict.UNSUPPORTED, Verdict.PASS),
)
