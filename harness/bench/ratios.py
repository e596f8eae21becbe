"""Medians and ratios of medians, with confidence intervals.

Samples are rounds' medians.  Intervals are bootstrapped, bias-corrected and accelerated (BCa): latencies are skewed, so
a test that assumes a normal distribution would be wrong in the tails.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy import stats

#: With fewer samples an interval is infinite.
MIN_SAMPLES = 6

CONFIDENCE = 0.95
RESAMPLES = 1999
#: A fixed seed, so that the same samples always give the same interval.
SEED = 20191008


@dataclass(frozen=True, slots=True)
class Estimate:
    """A median or ratio, with its confidence interval."""

    middle: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.middle:.3g} ({self.low:.3g} .. {self.high:.3g})"


def of_median(samples: Sequence[float]) -> Estimate:
    """Return the median of the samples."""
    return _interval(np.median, np.asarray(samples))


def of_pairs(above: Mapping[int, float], below: Mapping[int, float]) -> Estimate:
    """Return the median ratio within rounds; each argument is round → sample.  Raises ValueError if they share none."""
    rounds = sorted(above.keys() & below.keys())
    if not rounds:
        raise ValueError("no round measured both")
    return of_median([above[number] / below[number] for number in rounds])


def of_medians(above: Sequence[float], below: Sequence[float]) -> Estimate:
    """Return the ratio of the medians of independent samples."""
    return _interval(_ratio, np.asarray(above), np.asarray(below))


def _ratio(above: Any, below: Any, axis: int = -1) -> Any:
    return np.median(above, axis=axis) / np.median(below, axis=axis)


def _interval(statistic: Any, *samples: Any) -> Estimate:
    middle = float(statistic(*samples))
    if min(len(sample) for sample in samples) < MIN_SAMPLES:
        return Estimate(middle, 0.0, float("inf"))
    if all(np.ptp(sample) == 0 for sample in samples):
        return Estimate(middle, middle, middle)
    bootstrap = partial(
        stats.bootstrap,
        samples,
        statistic,
        vectorized=True,
        n_resamples=RESAMPLES,
        rng=SEED,
        confidence_level=CONFIDENCE,
    )
    with warnings.catch_warnings():
        # The acceleration may be undefined for medians of few samples; the percentile method is the fallback.
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        found = bootstrap(method="BCa").confidence_interval
        if not (np.isfinite(found.low) and np.isfinite(found.high)):
            found = bootstrap(method="percentile").confidence_interval
    return Estimate(middle, float(found.low), float(found.high))
