"""Whether a verdict is the one to expect: each trial held against what its environment says of it.

An environment expects every scenario to pass but those that a line of its profile names, with the verdicts that line
allows and the reason.  The first line that covers a trial decides; a pass that no verdict of the line allows is as
unexpected as a failure.  Beside that, `unsupported` is to be expected wherever the machine itself lacks what the
scenario needs, which no profile can know.  `error` and `miss` are never expected: they say that nothing was learnt.
"""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from worldswitch.harness.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Expectation:
    """One line of a profile: these scenarios end in one of these verdicts, for this reason."""

    scenarios: tuple[str, ...]  #: catalogue ids or scenario names, both as shell patterns
    verdicts: frozenset[Verdict]
    reason: str
    needs: frozenset[str] = frozenset()  #: and whichever scenarios need one of these

    def covers(self, name: str, ids: Iterable[str], needs: Iterable[str] = ()) -> bool:
        """Whether the scenario called `name`, with these catalogue ids and needs, is meant."""
        if name in self.scenarios:  # a parametrised scenario's own name is a pattern that does not match it
            return True
        if not self.needs.isdisjoint(needs):
            return True
        return any(fnmatch.fnmatchcase(key, pattern) for key in (name, *ids) for pattern in self.scenarios)


@dataclass(frozen=True, slots=True)
class Judgement:
    """Was it to be expected, what was, and why."""

    expected: bool
    wanted: frozenset[Verdict]
    reason: str = ""

    def __str__(self) -> str:
        wanted = " or ".join(sorted(verdict.value for verdict in self.wanted))
        return f"expected {wanted}" + (f": {self.reason}" if self.reason else "")


#: What a trial may come to for want of something.
EXCUSABLE = (Verdict.UNSUPPORTED, Verdict.BLOCKED)

PASSES = frozenset({Verdict.PASS})


def judge(
    name: str,
    ids: Iterable[str],
    verdict: Verdict,
    expectations: Iterable[Expectation],
    excuse: str = "",
    needs: Iterable[str] = (),
) -> Judgement:
    """Hold one verdict against its environment's expectations.

    `excuse` says why `unsupported` or `blocked` is right here, whatever the environment expects.
    """
    line = next((line for line in expectations if line.covers(name, ids, needs)), None)
    wanted, reason = (line.verdicts, line.reason) if line else (PASSES, "")
    if verdict in EXCUSABLE and excuse:
        return Judgement(True, wanted | {verdict}, excuse)
    return Judgement(verdict.is_verdict and verdict in wanted, wanted, reason)


def digest(rules: Iterable[Iterable[Expectation]]) -> str:
    """Which rules are in force, in which order, as a short text that is another when one of them is."""
    told = [
        (one.scenarios, sorted(one.needs), sorted(verdict.value for verdict in one.verdicts), one.reason)
        for cell in rules
        for one in cell
    ]
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]
