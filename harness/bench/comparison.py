"""Compares two runs: is the second slower, faster, or is the difference inconclusive.

pyperf's own comparison calls any difference significant when the numbers of samples differ.  Here a difference is
`slower` or `faster` only if the whole interval of its ratio is beyond the noise floor of both runs and beyond
`noise.MIN_EFFECT`.  Otherwise it is `inconclusive`, which does not mean "the same".
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from worldswitch.harness.bench import noise, ratios, results_file
from worldswitch.harness.bench.ratios import Estimate
from worldswitch.harness.bench.results_file import Results, Series


class RatioVerdict(enum.Enum):
    """The verdict on a ratio."""

    SLOWER = "slower"
    FASTER = "faster"
    INCONCLUSIVE = "inconclusive"


#: The labels of verdicts on counts and bytes.
LABELS = {RatioVerdict.SLOWER: "more", RatioVerdict.FASTER: "less"}


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One benchmark in both files."""

    before: Series
    after: Series
    ratio: Estimate  #: after / before
    floor: float  #: the noise floor, as a fraction
    verdict: RatioVerdict
    needed: int | None  #: rounds per run that would detect a difference of 10 %; None if no number would

    @property
    def label(self) -> str:
        """The verdict, worded for the unit."""
        return self.verdict.value if self.before.unit == "second" else LABELS.get(self.verdict, self.verdict.value)


def verdict_of(ratio: Estimate, threshold: float) -> RatioVerdict:
    """Return the verdict: the whole interval must differ from 1 by more than the threshold, a fraction."""
    if ratio.low > 1 + threshold:
        return RatioVerdict.SLOWER
    if ratio.high < 1 / (1 + threshold):
        return RatioVerdict.FASTER
    return RatioVerdict.INCONCLUSIVE


def compare(before: Results, after: Results, *, anyway: bool = False) -> Iterator[ComparisonRow]:
    """Return a row for each benchmark in both files.  Raises `UnlikeMachines` unless `anyway`."""
    if not anyway:
        results_file.check_alike(before, after)
    floor = cache(lambda subject: max(floor_of(before, subject), floor_of(after, subject)))
    for name, one in before.series.items():
        if other := after.series.get(name):
            yield compare_series(one, other, floor(one.subject))


def floor_of(results: Results, subject: str) -> float:
    """Return the noise floor of one subject's benchmarks in a file, as a fraction.

    CPU time taken by other processes is indistinguishable from the benchmark's own, so the floor is at least that.
    """
    timed = (one for one in results.series.values() if one.subject == subject and one.unit == "second")
    return max(noise.floor(one.samples for one in timed), results.taken / (1 - results.taken))


def compare_series(before: Series, after: Series, floor: float) -> ComparisonRow:
    """Return the row of one benchmark; `floor` is the noise floor of both files."""
    ratio = ratios.of_medians(after.samples, before.samples)
    threshold = max(floor, noise.MIN_EFFECT) if before.unit == "second" else 0.0
    needed = noise.rounds_needed(before.samples, threshold)
    return ComparisonRow(before, after, ratio, floor, verdict_of(ratio, threshold), needed)
