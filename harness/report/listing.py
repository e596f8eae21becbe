"""Lists the scenarios with their claims, the profiles, the platforms and the mutants."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from worldswitch.harness.catalogue import scenarios as catalogue
from worldswitch.harness.catalogue.mutants import Mutant, mutants
from worldswitch.harness.catalogue.platforms import platforms
from worldswitch.harness.catalogue.scenarios import Scenario
from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.run.request import select


def show(ids: Sequence[str], *, as_json: bool) -> Status:
    """Print the lists; if there are `ids`, only the scenarios that they name."""
    scenarios = select(catalogue.scenarios(), ids)
    others: dict[str, dict[str, Any]] = {
        "profiles": {profile.name: profile.about for profile in profiles.select([profiles.ALL])},
        "platforms": dict(platforms()),
        "mutants": {name: _mutant(mutant) for name, mutant in sorted(mutants().items())},
    }
    if as_json:
        print(json.dumps({"scenarios": [_scenario(one) for one in scenarios], **others}, indent=2))
    else:
        print("\n".join(_lines(scenarios, {} if ids else others)))
    return Status.AS_EXPECTED


def _scenario(scenario: Scenario) -> dict[str, Any]:
    fields = ("name", "ids", "claim", "clauses", "needs", "repeat", "deadline")
    return {field: getattr(scenario, field) for field in fields}


def _mutant(mutant: Mutant) -> dict[str, Any]:
    return {"about": mutant.about, "caught_by": mutant.caught_by}


def _lines(scenarios: Sequence[Scenario], others: dict[str, dict[str, Any]]) -> list[str]:
    lines = []
    for family, members in groupby(scenarios, key=lambda one: one.name.partition("::")[0]):
        lines.append(f"\n{family}")
        for one in members:
            lines.append(f"  {' '.join(one.ids):<6} {one.name.partition('::')[2].replace('_', ' ')}")
            lines.extend(f"         {line}" for line in one.claim.splitlines())
    for kind, named in others.items():
        lines.append(f"\n{kind}")
        lines.extend(f"  {name:<30} {_first_line(value)}" for name, value in named.items())
    return lines


def _first_line(value: Any) -> str:
    text = f"{value['about']} ({' '.join(value['caught_by'])})" if isinstance(value, dict) else str(value)
    return " ".join(text.split())
