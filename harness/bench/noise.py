"""The noise floor of a session, and how many rounds detect a given difference.

A session is compared with itself: its first half with its second, and its even rounds with its odd ones.  Nothing
changed between them, so any difference is noise.  The **floor** is the largest distance of such an interval from 1.  A
machine that drifts has a high floor.  Scatter between rounds widens the intervals instead and does not raise it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from worldswitch.harness.bench import ratios
from worldswitch.harness.bench.ratios import MIN_SAMPLES, Estimate

#: The smallest difference that is ever reported, as a fraction.
MIN_EFFECT = 0.03

#: The difference that a session should detect, as a fraction, and the quantiles for confidence and power.
EFFECT = 0.10
Z_INTERVAL, Z_POWER = 1.96, 1.645  # a 95 % interval excludes the threshold in 95 % of sessions
#: A factor on the computed number of rounds, because intervals of few rounds vary themselves.
RESERVE = 1.3

#: More rounds than this are not recommended.
MOST_ROUNDS = 1000


def floor(sessions: Iterable[Sequence[float]]) -> float:
    """Return the floor, as a fraction, from benchmarks' samples, each in chronological order."""
    return max((distance_from_one(ratio) for samples in sessions for ratio in self_ratios(samples)), default=0.0)


def self_ratios(samples: Sequence[float]) -> list[Estimate]:
    """Return the A/A ratios: the two halves, and even rounds to odd ones."""
    half = len(samples) // 2
    splits = ((samples[:half], samples[half:]), (samples[::2], samples[1::2]))
    return [ratios.of_medians(one, other) for one, other in splits if min(len(one), len(other)) >= MIN_SAMPLES]


def distance_from_one(ratio: Estimate) -> float:
    """Return the distance of an interval from 1, as a fraction; 0 if it contains 1."""
    if ratio.low <= 1 <= ratio.high:
        return 0.0
    nearest = ratio.low if ratio.low > 1 else 1 / ratio.high
    return nearest - 1


def rounds_needed(samples: Sequence[float], threshold: float, effect: float = EFFECT) -> int | None:
    """Return the rounds that each of two sessions needs to detect `effect` beyond `threshold`, both fractions.

    The estimate resamples the median of these samples.  None means more than `MOST_ROUNDS`, or too few samples.
    """
    room = math.log1p(effect) - math.log1p(threshold)
    if room <= 0 or len(samples) < MIN_SAMPLES:
        return None
    rng = np.random.default_rng(ratios.SEED)
    drawn = rng.choice(np.log(samples), (ratios.RESAMPLES, len(samples)))
    scatter = float(np.std(np.median(drawn, axis=1))) * math.sqrt(len(samples))  # of the median of one round
    needed = 2 * (scatter * (Z_INTERVAL + Z_POWER) / room) ** 2
    rounds = max(2 * MIN_SAMPLES, math.ceil(RESERVE * needed))
    return rounds if rounds <= MOST_ROUNDS else None
