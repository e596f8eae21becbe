"""The manifest of a run, `run.json` in its folder: the request, the plan, and the progress.

It is written before the first cell starts, after each cell, and at the end, so that the folder of a killed run still
has its plan; planned trials without a verdict are then `miss`.  `results.writer` writes it, `results.reader` reads it
together with the files of the cells.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from worldswitch.harness.catalogue.scenarios import Scenario, function_of
from worldswitch.harness.cell.records import Moment, Trial
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.expectations.outcome import Problem, Stale
from worldswitch.harness.verdict import Verdict

FORMAT = 1
MOST_BYTES = 256 << 20  #: of a file in the folder
FILE = "run.json"
JUDGEMENTS = "judgements.jsonl"


class PlannedScenario(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A scenario that is planned in every cell of the run."""

    name: str
    ids: tuple[str, ...] = ()
    claim: str = ""
    clauses: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    variants: tuple[str, ...] = ("",)  #: of its trials; see `worldswitch.harness.catalogue.scenarios.Scenario`

    @property
    def trials(self) -> tuple[str, ...]:
        """The names of its trials that are planned in every cell."""
        return tuple(f"{self.name}{variant}" for variant in self.variants)


class Forecast(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the cell's filter was predicted to do, before the cell started."""

    start: str = ""  #: why no container starts, or perhaps none; empty if one does
    #: The verdict, and the number of the reason, by scenario; no entry for a pass, an empty verdict for none predicted.
    verdicts: dict[str, tuple[str, int]] = {}
    reasons: tuple[str, ...] = ()
    probes: tuple[str, ...] = ()  #: those that the filter changes

    def __post_init__(self) -> None:
        """Reject the number of a reason that is not there."""
        for scenario, (_, reason) in self.verdicts.items():
            if not -1 <= reason < len(self.reasons):
                raise ValueError(f"verdicts: {scenario} has reason {reason} of {len(self.reasons)}")

    def of(self, scenario: str) -> tuple[str, str]:
        """Return the predicted verdict of a scenario, empty for none, and the reason."""
        verdict, reason = self.verdicts.get(scenario, (Verdict.PASS.value, -1))
        return verdict, self.reasons[reason] if reason >= 0 else ""


class PlannedCell(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One platform in one environment."""

    environment: str
    platform: str
    file: str  #: in the folder of `run.json`; absent if the cell sent no record
    facts: dict[str, Any] = {}  #: of the environment: engine, image, profile
    profile: dict[str, Any] = {}  #: the profile's fields, without its rules
    started: Moment | None = None
    finished: Moment | None = None  #: None if the run ended before the cell did
    problem: Problem | None = None
    forecast: Forecast | None = None  #: None without a filter, or without a record of the suite's calls

    @property
    def name(self) -> CellName:
        """The name of the cell."""
        return CellName(self.environment, self.platform)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of `run.json`."""

    format: int = FORMAT
    run: str  #: the name of the folder
    started: Moment
    finished: Moment | None = None  #: None if the run was killed
    interrupted: bool = False
    seed: int
    request: dict[str, Any]  #: the fields of `worldswitch.harness.run.request.Request`
    kernel: str  #: of the machine that drives the run; each cell's header has its own
    versions: dict[str, str]
    expectations: str = ""  #: `judgement.digest` of the rules
    scenarios: tuple[PlannedScenario, ...]
    cells: tuple[PlannedCell, ...] = ()  #: empty until the environments are known
    stale: tuple[Stale, ...] = ()  #: see `worldswitch.harness.expectations.stale`


class JudgedTrial(msgspec.Struct, frozen=True, kw_only=True):
    """The trial of a line in `judgements.jsonl`; its other fields are those of the `Judgement`.

    A trial to which no rule and no excuse applies has no line: a pass is expected.
    """

    cell: str
    scenario: str
    verdict: Verdict


def trials(scenarios: Iterable[Scenario | PlannedScenario]) -> tuple[str, ...]:
    """Return the names of the trials of these scenarios in a cell."""
    return tuple(trial for scenario in scenarios for trial in scenario.trials)


def misses(
    planned: Sequence[str],
    reported: Collection[str],
    scenarios: Mapping[str, Scenario] | Mapping[str, PlannedScenario],
    reason: str,
) -> Iterator[Trial]:
    """Yield a `miss`, with this reason, for each planned trial that was not reported."""
    for name in planned:
        if name not in reported:
            known = scenarios.get(function_of(name)) or PlannedScenario(name=name)
            fields: dict[str, Any] = {"ids": known.ids, "claim": known.claim, "clauses": known.clauses}
            yield Trial(scenario=name, verdict=Verdict.MISS, reason=reason, **fields)
