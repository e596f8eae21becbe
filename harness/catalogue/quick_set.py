"""The scenarios of a quick run, those most informative about a kernel; `scenarios/starred.toml` gives reasons."""

from __future__ import annotations

from worldswitch.harness.catalogue import reason_lists, scenarios
from worldswitch.harness.catalogue.scenarios import SCENARIOS

FILE = "starred.toml"


def listed() -> dict[str, str]:
    """Return the listed ids, names and patterns of them, with the reasons."""
    return reason_lists.load(SCENARIOS, FILE)


def names() -> tuple[str, ...]:
    """Return full names, from which a cell knows the modules, so that it need not import the others."""
    every = scenarios.scenarios()
    return tuple(dict.fromkeys(scenario.name for name in listed() for scenario in every if scenario.is_called(name)))
