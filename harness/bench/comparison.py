"""`worldswitch bench compare`: is one run slower than another, faster, or can that not be said.

pyperf's own comparison calls any difference significant when the samples differ in number.  Here a difference is
`slower` or `faster` only if the whole interval of its ratio is beyond the noise floor of both sessions, and beyond what
anybody cares about; else it is `inconclusive`, which is no word for "the same".
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from worldswitch.harness.bench import noise, ratios, results_file
from worldswitch.harness.bench.ratios import Estimate
from worldswitch.harness.bench.results_file import Results, Series


class RatioVerdict(enum.Enum):
    """What can be said of a difference."""

    SLOWER = "slower"
    FASTER = "faster"
    INCONCLUSIVE = "inconclusive"


#: For what is not measured in seconds.
WORDS = {RatioVerdict.SLOWER: "more", RatioVerdict.FASTER: "less"}


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One benchmark in both files."""

    before: Series
    after: Series
    ratio: Estimate  #: after / before
    floor: float
    finding: RatioVerdict
    needed: int | None  #: rounds that would show 10 %

    @property
    def word(self) -> str:
        """The finding, as the unit has it."""
        return self.finding.value if self.before.unit == "second" else WORDS.get(self.finding, self.finding.value)


def verdict_of(ratio: Estimate, threshold: float) -> RatioVerdict:
    """What a ratio says: its whole interval must be beyond 1 by more than the threshold, a fraction."""
    if ratio.low > 1 + threshold:
        return RatioVerdict.SLOWER
    if ratio.high < 1 / (1 + threshold):
        return RatioVerdict.FASTER
    return RatioVerdict.INCONCLUSIVE


def compare(before: Results, after: Results, *, anyway: bool = False) -> Iterator[ComparisonRow]:
    """A row for each benchmark that both files have.  Raises `UnlikeMachines`, unless it is to be done anyway."""
    if not anyway:
        results_file.check_alike(before, after)
    return _rows(before, after)


def _rows(before: Results, after: Results) -> Iterator[ComparisonRow]:
    floors: dict[str, float] = {}
    for name, one in before.series.items():
        if (other := after.series.get(name)) is None:
            continue
        if one.subject not in floors:
            floors[one.subject] = max(floor_of(before, one.subject), floor_of(after, one.subject))
        yield compare_series(one, other, floors[one.subject])


def floor_of(results: Results, subject: str) -> float:
    """The noise floor of one subject's benchmarks in a file.

    What other processes took cannot be told from what the benchmark takes, so the floor is at least that.
    """
    timed = (one for one in results.series.values() if one.subject == subject and one.unit == "second")
    return max(noise.floor(one.samples for one in timed), results.taken / (1 - results.taken))


def compare_series(before: Series, after: Series, floor: float) -> ComparisonRow:
    """One row."""
    ratio = ratios.of_medians(after.samples, before.samples)
    threshold = max(floor, noise.MIN_EFFECT) if before.unit == "second" else 0.0
    needed = noise.rounds_needed(before.samples, threshold)
    return ComparisonRow(before, after, ratio, floor, verdict_of(ratio, threshold), needed)
