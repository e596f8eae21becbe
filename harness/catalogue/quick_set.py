"""The scenarios that say most about a kernel, for a run in a hurry; `scenarios/starred.toml` says why each."""

from __future__ import annotations

from worldswitch.harness.catalogue import reason_lists, scenarios
from worldswitch.harness.catalogue.scenarios import SCENARIOS

FILE = "starred.toml"


def listed() -> dict[str, str]:
    """Their ids and names, and patterns of them, with the reasons."""
    return reason_lists.load(SCENARIOS, FILE)


def names() -> tuple[str, ...]:
    """The name of each, which tells a cell where it stands, so that it need not import the others."""
    every = scenarios.scenarios()
    return tuple(dict.fromkeys(one.name for name in listed() for one in every if one.is_called(name)))
