"""What can be said of one trial: did the claim hold, and if nothing was learnt, why not.

`error` and `miss` are never green: they say that nothing was learnt.
"""

import enum


class Verdict(enum.Enum):
    """The outcome of one scenario on one platform in one environment."""

    PASS = "pass"  #: the claim held
    FAIL = "fail"  #: it did not: the scenario's own assertion, a platform error, or something left behind
    TIMEOUT = "timeout"  #: no outcome before the outer deadline
    CRASH = "crash"  #: the trial's process died
    UNSUPPORTED = "unsupported"  #: a probe shows that this environment lacks what the scenario needs
    BLOCKED = "blocked"  #: a probe shows that the profile forbids what the scenario needs
    ERROR = "error"  #: the scenario's or the harness's own fault
    MISS = "miss"  #: planned, and never ran

    @property
    def is_verdict(self) -> bool:
        """Something was learnt about the platform or the environment."""
        return self not in (Verdict.ERROR, Verdict.MISS)


#: Worst first: of several verdicts, the first of these is the one that counts.
SEVERITY = (
    *(Verdict.ERROR, Verdict.MISS),
    *(Verdict.CRASH, Verdict.TIMEOUT, Verdict.FAIL),
    *(Verdict.BLOCKED, Verdict.UNSUPPORTED, Verdict.PASS),
)
