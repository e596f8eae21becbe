"""The judge of differences, tried on recorded rounds that it was not tuned on: no false alarms, and 10 % is found.

The first half of the results_writer is the session in which the floor is measured and the number of rounds is asked for.
From the second half, which that never saw, two sessions of so many rounds are drawn a thousand times.
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
ASKED = {name: noise.rounds_needed(first, THRESHOLD) for name, (first, _) in HALVES.items()}


def findings(planted: float) -> list[RatioVerdict]:
    """What is said of two sessions drawn from the same rounds, the second slower by what is planted."""
    drawn = random.Random(SEED)
    found = []
    for _ in range(TRIES):
        name = drawn.choice([name for name, asked in ASKED.items() if asked])
        pool, rounds = HALVES[name][1], ASKED[name] or 0
        before, after = (drawn.choices(pool, k=rounds) for _ in range(2))
        ratio = ratios.of_medians([planted * value for value in after], before)
        found.append(comparison.verdict_of(ratio, THRESHOLD))
    return found


def test_the_recording_is_one_that_can_be_judged() -> None:
    assert THRESHOLD < noise.EFFECT
    assert sum(asked is not None for asked in ASKED.values()) >= len(ASKED) / 2


def test_sessions_that_differ_in_nothing_alarm_nobody() -> None:
    alarms = sum(found is not RatioVerdict.INCONCLUSIVE for found in findings(1.0))
    assert alarms <= TRIES / 100


def test_ten_per_cent_are_found() -> None:
    found = sum(one is RatioVerdict.SLOWER for one in findings(PLANTED))
    assert found >= TRIES * 95 / 100
