"""Verdicts on recorded rounds: at most 1 % of equal sessions differ, and a slowdown of 10 % is detected in 95 %.

The first half of each recording yields the floor and the number of rounds.  From the second half, two sessions of that
many rounds are drawn a thousand times.
"""

from __future__ import annotations

import random

from bench_rounds import recorded

from worldswitch.harness.bench import comparison, noise, ratios
from worldswitch.harness.bench.comparison import RatioVerdict

SEED = 4053
TRIES = 1000
PLANTED = 1.10

ROUNDS = recorded()
HALVES = {name: (values[: len(values) // 2], values[len(values) // 2 :]) for name, values in ROUNDS.items()}
FLOOR = noise.floor(first for first, _ in HALVES.values())
THRESHOLD = max(FLOOR, noise.MIN_EFFECT)
NEEDED = {name: noise.rounds_needed(first, THRESHOLD) for name, (first, _) in HALVES.items()}


def verdicts(planted: float) -> list[RatioVerdict]:
    """Compare pairs of sessions drawn from the same rounds, the second slower by the factor `planted`."""
    drawn = random.Random(SEED)
    found = []
    for _ in range(TRIES):
        name = drawn.choice([name for name, needed in NEEDED.items() if needed])
        pool, rounds = HALVES[name][1], NEEDED[name] or 0
        before, after = (drawn.choices(pool, k=rounds) for _ in range(2))
        ratio = ratios.of_medians([planted * value for value in after], before)
        found.append(comparison.verdict_of(ratio, THRESHOLD))
    return found


def test_the_recording_is_quiet_enough() -> None:
    assert THRESHOLD < noise.EFFECT
    assert sum(needed is not None for needed in NEEDED.values()) >= len(NEEDED) / 2


def test_equal_sessions_are_inconclusive() -> None:
    alarms = sum(verdict is not RatioVerdict.INCONCLUSIVE for verdict in verdicts(1.0))
    assert alarms <= TRIES / 100


def test_ten_per_cent_are_detected() -> None:
    found = sum(verdict is RatioVerdict.SLOWER for verdict in verdicts(PLANTED))
    assert found >= TRIES * 95 / 100
