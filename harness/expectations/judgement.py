"""Whether a verdict is the one to expect: each trial held against what its environment says of it.

A scenario is expected to pass unless a rule (`worldswitch.harness.expectations.rules`) names other verdicts and the
reason.  The first rule that covers a trial and whose conditions hold decides; a pass that the rule does not allow is as
unexpected as a failure.  `unsupported` is expected without a rule where the machine itself lacks what the scenario
needs.  `error` and `miss` are never expected: they teach nothing.
"""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from worldswitch.harness.expectations.conditions import Condition
from worldswitch.harness.expectations.fields import FieldValues
from worldswitch.harness.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Expectation:
    """A rule: these scenarios end in one of these verdicts, for this reason."""

    scenarios: tuple[str, ...]  #: catalogue ids or scenario names, both as shell patterns
    verdicts: frozenset[Verdict]
    reason: str
    needs: frozenset[str] = frozenset()  #: and whichever scenarios need one of these
    source: str = ""  #: the file it stands in, and its number there
    when: tuple[Condition, ...] = ()  #: holds where all of these do
    evidence: tuple[str, ...] = ()  #: what the reason stands on
    expires: date | None = None  #: its last day

    @property
    def file(self) -> str:
        """The name of the file it stands in."""
        return self.source.partition(" rule ")[0]

    def covers(self, name: str, ids: Iterable[str], needs: Iterable[str] = ()) -> bool:
        """Whether the scenario called `name`, with these catalogue ids and needs, is meant."""
        if name in self.scenarios:  # a parametrised scenario's own name is a pattern that does not match it
            return True
        if not self.needs.isdisjoint(needs):
            return True
        return any(fnmatch.fnmatchcase(key, pattern) for key in (name, *ids) for pattern in self.scenarios)

    def holds(self, known: FieldValues) -> bool:
        """Whether its conditions do, where this is known."""
        return all(condition.holds(known) for condition in self.when)


@dataclass(frozen=True, slots=True)
class Judgement:
    """Was it to be expected, what was, why, and which rule says so."""

    expected: bool
    wanted: frozenset[Verdict]
    reason: str = ""
    #: The rule that decided, as `Expectation.source`; empty if no rule is about the trial, or it is excused.
    rule: str = ""
    evidence: tuple[str, ...] = ()

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
    rule = deciding(expectations, name, ids, needs)
    wanted = rule.verdicts if rule else PASSES
    if verdict in EXCUSABLE and excuse:
        return Judgement(True, wanted | {verdict}, excuse)
    expected = verdict.is_verdict and verdict in wanted
    return Judgement(expected, wanted, rule.reason, rule.source, rule.evidence) if rule else Judgement(expected, wanted)


def deciding(
    expectations: Iterable[Expectation], name: str, ids: Iterable[str], needs: Iterable[str] = ()
) -> Expectation | None:
    """The rule that decides on a trial, of those that hold where it ran: the first that covers it."""
    return next((rule for rule in expectations if rule.covers(name, ids, needs)), None)


def digest(rules: Iterable[Iterable[Expectation]]) -> str:
    """Which rules are in force, in which order, as a short text that is another when one of them is."""
    told = [
        (
            *(one.scenarios, sorted(one.needs), sorted(verdict.value for verdict in one.verdicts), one.reason),
            *(list(map(str, one.when)), str(one.expires)),
        )
        for cell in rules
        for one in cell
    ]
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]
