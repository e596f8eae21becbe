"""Lists what can be named on a command line, one kind at a time: scenarios, probes, platforms and so on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from worldswitch.harness.catalogue import keyword as keywords
from worldswitch.harness.catalogue import scenarios as catalogue
from worldswitch.harness.catalogue.keyword import Keyword
from worldswitch.harness.catalogue.mutants import Mutant, mutants
from worldswitch.harness.catalogue.platforms import platforms
from worldswitch.harness.catalogue.scenarios import Scenario
from worldswitch.harness.cell.probes import table
from worldswitch.harness.cell.probes.needs import required
from worldswitch.harness.environments.kernels import known
from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.run.request import select

SCENARIOS = "scenarios"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of names: what they are, and a function that returns them with their descriptions."""

    about: str
    named: Callable[[], Mapping[str, Any]]


def _profiles() -> dict[str, str]:
    return {profile.name: _line(profile.about) for profile in profiles.select([profiles.ALL])}


def _mutants() -> dict[str, Any]:
    return {name: _mutant(mutant) for name, mutant in sorted(mutants().items())}


def _probes() -> dict[str, str]:
    needing: dict[str, int] = dict.fromkeys(table.PROBES, 0)
    for scenario in catalogue.scenarios():
        for need in required(scenario.needs):
            needing[need] += 1
    return {name: f"scenarios that need it: {number}" for name, number in needing.items()}


def _kernels() -> dict[str, str]:
    return {entry.name: "long-term" if entry.long_term else "" for entry in known.load()}


#: Every kind but the scenarios.
KINDS = {
    "probes": Kind("what a machine is asked: `probe.NAME` in rules, `needs` of scenarios", _probes),
    "platforms": Kind("installed platforms: run --platform NAME", platforms),
    "mutants": Kind("the reference with one fault each: mutants NAME, run --platform mutant:NAME", _mutants),
    "profiles": Kind(
        "containers' privileges and filters: run --profile NAME; details: worldswitch profiles", _profiles
    ),
    "kernels": Kind("kernels to boot: run --kernel NAME; details: worldswitch kernels list", _kernels),
}


def show(kind: str, ids: Sequence[str], keyword: str, *, as_json: bool) -> Status:
    """Print the names of a kind; without one, the kinds with their numbers, or as JSON everything."""
    if ids and kind not in ("", SCENARIOS):
        raise CouldNotRun(f"--id selects scenarios, not {kind}; use -k WORD")
    if as_json:
        print(json.dumps(_values(kind, ids, keyword), indent=2))
    elif kind in ("", SCENARIOS) and (kind or ids or keyword):
        print("\n".join(_scenario_lines(_selected(ids, keyword))))
    elif kind:
        print("\n".join(_lines(_matching(kind, keyword))))
    else:
        print("\n".join(_overview()))
    return Status.AS_EXPECTED


def _values(kind: str, ids: Sequence[str], keyword: str) -> dict[str, Any]:
    """Return the names of a kind, or of all kinds, as plain values."""
    found: dict[str, Any] = {}
    if kind in ("", SCENARIOS):
        found[SCENARIOS] = [_scenario(one) for one in _selected(ids, keyword)]
    only = () if kind == SCENARIOS or (not kind and (ids or keyword)) else (kind,) if kind else KINDS
    return found | {one: dict(_matching(one, keyword)) for one in only}


def _selected(ids: Sequence[str], keyword: str) -> Sequence[Scenario]:
    found = select(catalogue.scenarios(), ids)
    return keywords.select(found, keyword) if keyword else found


def _matching(kind: str, keyword: str) -> Mapping[str, Any]:
    """Return the names of a kind that `keyword` selects, by name or description.  Raises `CouldNotRun` without any."""
    wanted, named = Keyword(keyword), KINDS[kind].named()
    found = {name: about for name, about in named.items() if wanted.selects((name, _described(about)))}
    if not found:
        raise CouldNotRun(f"-k {keyword!r} matches none of {len(named)} {kind}")
    return found


def _overview() -> Iterator[str]:
    every = catalogue.scenarios()
    trials = sum(len(one.variants) for one in every)
    about = f"claims about a platform or kernel: run --id ID; {trials} trials in a cell, since some have parameters"
    yield f"{SCENARIOS:<10} {len(every):>4}  {about}"
    yield from (f"{name:<10} {len(kind.named()):>4}  {kind.about}" for name, kind in KINDS.items())
    yield ""
    yield "worldswitch list KIND shows the names of one; -k WORD selects, --json prints JSON"
    yield "benchmarks: worldswitch bench --list; runs: results/"


def _scenario(scenario: Scenario) -> dict[str, Any]:
    fields = ("name", "ids", "claim", "clauses", "needs", "repeat", "deadline", "trials")
    return {field: getattr(scenario, field) for field in fields}


def _mutant(mutant: Mutant) -> dict[str, Any]:
    return {"about": mutant.about, "caught_by": mutant.caught_by}


def _scenario_lines(scenarios: Sequence[Scenario]) -> Iterator[str]:
    for family, members in groupby(scenarios, key=lambda one: one.family):
        yield family
        for one in members:
            number = len(one.variants)
            several = f" ({number} trials)" if number > 1 else ""
            yield f"  {' '.join(one.ids):<6} {one.name.partition('::')[2].replace('_', ' ')}{several}"
            yield from (f"         {line}" for line in one.claim.splitlines())
        yield ""
    trials = sum(len(one.variants) for one in scenarios)
    yield f"{_number(len(scenarios), 'scenario')}, {_number(trials, 'trial')} in a cell"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _lines(named: Mapping[str, Any]) -> Iterator[str]:
    width = max(map(len, named))
    yield from (f"{name:<{width}}  {_described(about)}".rstrip() for name, about in named.items())


def _described(value: Any) -> str:
    return _line(f"{value['about']} ({' '.join(value['caught_by'])})" if isinstance(value, dict) else str(value))


def _line(text: str) -> str:
    return " ".join(text.split())
