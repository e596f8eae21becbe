"""The scenarios that say most about a kernel, for a run in a hurry; `scenarios/starred.toml` says why each."""

from __future__ import annotations

from worldswitch.harness import reasons
from worldswitch.harness.catalogue import SCENARIOS

FILE = "starred.toml"


def ids() -> tuple[str, ...]:
    """Their ids and names, and patterns of them."""
    return tuple(reasons.load(SCENARIOS, FILE))
