"""Medians, and ratios of medians, with the intervals in which they lie.

Samples are rounds' medians.  The interval is a bootstrap's, bias-corrected and accelerated (BCa): latencies are skewed,
and a test that takes them for normal would be wrong in their tails.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

#: Fewer samples than this have no interval worth the name.
MIN_SAMPLES = 6

CONFIDENCE = 0.95
RESAMPLES = 1999
#: Intervals are the same each time they are asked for.
SEED = 20191008


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number, and between what it lies."""

    middle: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.middle:.3g} ({self.low:.3g} .. {self.high:.3g})"


def of_median(samples: Sequence[float]) -> Estimate:
    """The median."""
    return _interval((np.asarray(samples),), np.median, float(np.median(samples)))


def of_pairs(above: Mapping[int, float], below: Mapping[int, float]) -> Estimate:
    """The median ratio of what was measured in the same rounds.  Raises ValueError if there is no such round."""
    rounds = sorted(above.keys() & below.keys())
    if not rounds:
        raise ValueError("no round has both")
    ratios = np.array([above[number] / below[number] for number in rounds])
    return _interval((ratios,), np.median, float(np.median(ratios)))


def of_medians(above: Sequence[float], below: Sequence[float]) -> Estimate:
    """The ratio of the medians of samples that have nothing to do with each other."""
    samples = (np.asarray(above), np.asarray(below))
    return _interval(samples, _ratio, float(_ratio(*samples)))


def _ratio(above: Any, below: Any, axis: int = -1) -> Any:
    return np.median(above, axis=axis) / np.median(below, axis=axis)


def _interval(samples: tuple[Any, ...], statistic: Any, middle: float) -> Estimate:
    if min(len(sample) for sample in samples) < MIN_SAMPLES:
        return Estimate(middle, 0.0, float("inf"))
    if all(np.ptp(sample) == 0 for sample in samples):
        return Estimate(middle, middle, middle)
    common: dict[str, Any] = {
        "vectorized": True,
        "n_resamples": RESAMPLES,
        "confidence_level": CONFIDENCE,
    }
    with warnings.catch_warnings():
        # Of medians of few samples the acceleration cannot always be had; then the percentiles have to do.
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        found = stats.bootstrap(samples, statistic, method="BCa", rng=SEED, **common).confidence_interval
        if not (np.isfinite(found.low) and np.isfinite(found.high)):
            found = stats.bootstrap(samples, statistic, method="percentile", rng=SEED, **common).confidence_interval
    return Estimate(middle, float(found.low), float(found.high))
