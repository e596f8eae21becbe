"""Predicts the verdicts of a cell from the filter of its profile, before it starts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from worldswitch.harness.catalogue.scenarios import Scenario
from worldswitch.harness.cell.probes.table import PROBES
from worldswitch.harness.environments.oci import seccomp
from worldswitch.harness.environments.protocol import Environment
from worldswitch.harness.environments.simulation import record
from worldswitch.harness.environments.simulation.effect import FilterEffect, effect_of
from worldswitch.harness.environments.simulation.library import Rejected
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.results.manifest import Forecast
from worldswitch.harness.verdict import Verdict

RUNTIMES = ("runc", "crun")
ENGINE_RUNTIME = "runc"  #: engines' default


def of(place: Environment, scenarios: Iterable[Scenario]) -> Forecast | None:
    """Return the forecast for an environment; None if its filter, or the effect of denials, is not known."""
    if not place.profile or place.lane or not record.load() or not is_known(place.profile.seccomp, place.facts):
        return None
    try:
        effect = effect_of(place.profile, runtime_of(place.facts))
    except Rejected as problem:
        return everywhere(f"no container starts: {problem}", scenarios)
    except Unobtainable as problem:
        return everywhere(f"no container starts: {problem.reason}", scenarios)
    return made(effect, scenarios) if effect else None


def runtime_of(facts: Mapping[str, str]) -> str:
    """Return the runtime of an environment's containers."""
    name = facts.get("engine", "").partition(" ")[0]
    return name if name in RUNTIMES else ENGINE_RUNTIME


def is_known(filter_: str, facts: Mapping[str, str]) -> bool:
    """True unless the filter is the default of an engine other than the one that the shipped default was read from."""
    name = facts.get("engine", "").partition(" ")[0]
    if filter_ != "default" or name in RUNTIMES:
        return True
    version = facts.get("engine", "").rpartition(" ")[2]
    return bool(version) and version in json.loads(seccomp.default()).get("comment", "")


def made(effect: FilterEffect, scenarios: Iterable[Scenario]) -> Forecast:
    """Return the forecast of a filter's effect."""
    verdicts: dict[str, tuple[str, int]] = {}
    reasons: dict[str, int] = {}
    for scenario in scenarios:
        found = effect.of(scenario.name, scenario.needs)
        if found.verdict is not Verdict.PASS:
            number = reasons.setdefault(found.reason, len(reasons))
            verdicts[scenario.name] = (str(found.verdict or ""), number)
    start = "" if effect.start.verdict is Verdict.PASS else effect.start.reason
    changed = tuple(name for name in PROBES if effect.probe(name)[1])
    return Forecast(start=start, verdicts=verdicts, reasons=tuple(reasons), probes=changed)


def everywhere(reason: str, scenarios: Iterable[Scenario]) -> Forecast:
    """Return the forecast of a container that does not start."""
    missed = {one.name: (Verdict.MISS.value, 0) for one in scenarios}
    return Forecast(start=reason, verdicts=missed, reasons=(reason,))
