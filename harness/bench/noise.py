"""How small a difference can be seen here: the noise floor of a session, and how many rounds it takes.

A session is held against itself: its first half against its second, every other round against the rest.  Nothing was
changed between them, so whatever a comparison would claim of them is noise: how far such an interval stays away from 1
at the most is the **floor**.  A machine that drifts has a high one; scatter, which rounds average out, is what the
intervals are for and does not raise it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from worldswitch.harness.bench import ratios
from worldswitch.harness.bench.ratios import MIN_SAMPLES, Estimate

#: Differences below this do not matter to anybody, however well they are seen.
MIN_EFFECT = 0.03

#: The difference that a session is to be able to show, and how surely.
EFFECT = 0.10
Z_INTERVAL, Z_POWER = 1.96, 1.645  # 95 % intervals that are clear of the threshold in 95 % of sessions
#: Intervals of few rounds vary themselves: so many times the rounds that the formula says.
RESERVE = 1.3

#: Beyond this nobody waits.
MOST_ROUNDS = 1000


def floor(sessions: Iterable[Sequence[float]]) -> float:
    """The floor, as a fraction: of the samples of one or several benchmarks, in the order of time."""
    return max((distance_from_one(ratio) for samples in sessions for ratio in self_ratios(samples)), default=0.0)


def self_ratios(samples: Sequence[float]) -> list[Estimate]:
    """A/A: the ratios of parts of a session, which nothing was changed between."""
    half = len(samples) // 2
    splits = ((samples[:half], samples[half:]), (samples[::2], samples[1::2]))
    return [ratios.of_medians(one, other) for one, other in splits if min(len(one), len(other)) >= MIN_SAMPLES]


def distance_from_one(ratio: Estimate) -> float:
    """How far an interval stays away from 1, as a fraction; 0 if 1 is in it."""
    if ratio.low <= 1 <= ratio.high:
        return 0.0
    nearest = ratio.low if ratio.low > 1 else 1 / ratio.high
    return nearest - 1


def rounds_needed(samples: Sequence[float], threshold: float, effect: float = EFFECT) -> int | None:
    """How many rounds in each of two sessions show a difference of `effect` beyond `threshold`; None: none do.

    From how much the median of these samples would scatter if they were drawn again.
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
