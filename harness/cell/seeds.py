"""One number for all that is random in a run, and from it one for each trial.

A trial's seed depends on the run's and on the scenario's name only: whoever runs fewer scenarios, or in another order,
replays the same trials.
"""

from __future__ import annotations

import argparse
import hashlib
import secrets

#: Short enough to be read aloud.
BITS = 32


def draw() -> int:
    """A run's seed, where none was given."""
    return secrets.randbits(BITS)


def of_trial(seed: int, scenario: str) -> int:
    """What a trial of `scenario` makes all of its choices from, in a run with this `seed`."""
    return int.from_bytes(hashlib.sha256(f"{seed} {scenario}".encode()).digest()[:8])


def number(text: str) -> int:
    """The seed that somebody wrote."""
    if text.isascii() and text.isdigit() and int(text) < 2**BITS:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no seed: a number from 0 to {2**BITS - 1}")
