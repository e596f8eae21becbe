"""Compares a verdict with the expectations of its environment.

A scenario is expected to pass unless a rule (`worldswitch.harness.expectations.rules`) names other verdicts and the
reason.  The first rule that covers a trial and whose conditions hold decides; a pass that the rule does not allow is as
unexpected as a failure.  `unsupported` is expected without a rule where the machine itself lacks what the scenario
needs.  `error` and `miss` are never expected, because they are not results about the platform.
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
    """A rule as it is applied: these scenarios end in one of these verdicts, for this reason."""

    scenarios: tuple[str, ...]  #: catalogue ids or scenario names, both as shell patterns
    verdicts: frozenset[Verdict]
    reason: str
    needs: frozenset[str] = frozenset()  #: also covers each scenario that needs one of these
    source: str = ""  #: the name of its file, and its number there
    when: tuple[Condition, ...] = ()  #: all must hold
    evidence: tuple[str, ...] = ()  #: commits, manual sections or clauses that support the reason
    expires: date | None = None  #: the last day on which it is valid

    @property
    def file(self) -> str:
        """The name of its file."""
        return self.source.partition(" rule ")[0]

    def covers(self, name: str, ids: Iterable[str], needs: Iterable[str] = ()) -> bool:
        """True if the rule applies to the scenario `name` with these catalogue ids and needs."""
        if name in self.scenarios:  # the brackets of a parametrised name would be a pattern
            return True
        if not self.needs.isdisjoint(needs):
            return True
        return any(fnmatch.fnmatchcase(key, pattern) for key in (name, *ids) for pattern in self.scenarios)

    def holds(self, known: FieldValues) -> bool:
        """True if all its conditions hold for these fields."""
        return all(condition.holds(known) for condition in self.when)


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether a verdict was expected, the expected verdicts, the reason, and the rule that decided."""

    expected: bool
    wanted: frozenset[Verdict]
    reason: str = ""
    #: `Expectation.source` of the rule that decided; empty if no rule covers the trial, or it is excused.
    rule: str = ""
    evidence: tuple[str, ...] = ()

    def __str__(self) -> str:
        wanted = " or ".join(sorted(self.wanted))
        return f"expected {wanted}" + (f": {self.reason}" if self.reason else "")


#: The verdicts of trials that lack something they need.
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
    """Judge one verdict by the expectations of its environment, all of which hold there.

    A non-empty `excuse` makes `unsupported` and `blocked` expected, with that reason.
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
    """Return the first of these rules that covers a trial."""
    return next((rule for rule in expectations if rule.covers(name, ids, needs)), None)


def digest(rules: Iterable[Iterable[Expectation]]) -> str:
    """Return 16 hex digits that change with every change of the rules of each cell and their order."""
    rows = [
        (
            *(one.scenarios, sorted(one.needs), sorted(verdict.value for verdict in one.verdicts), one.reason),
            *(list(map(str, one.when)), str(one.expires)),
        )
        for cell in rules
        for one in cell
    ]
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:16]
