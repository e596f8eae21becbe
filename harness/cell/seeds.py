"""Random seeds: one for a run, and one for each trial, derived from it.

A trial's seed depends only on the run's seed and the scenario's name, so a run of fewer scenarios or in another order
replays the same trials.
"""

from __future__ import annotations

import argparse
import hashlib
import secrets

BITS = 32  #: short enough to type


def draw() -> int:
    """Return a random seed for a run."""
    return secrets.randbits(BITS)


def of_trial(seed: int, scenario: str) -> int:
    """Return the seed of a trial of `scenario` in a run with this `seed`."""
    return int.from_bytes(hashlib.sha256(f"{seed} {scenario}".encode()).digest()[:8])


def number(text: str) -> int:
    """Parse a seed from the command line; raises argparse.ArgumentTypeError."""
    if text.isascii() and text.isdigit() and int(text) < 2**BITS:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected an integer from 0 to {2**BITS - 1}, got {text!r}")
