"""What a run means to do, and how far it came: `run.json` in its folder, there from the start.

It is written before the first cell starts, after each cell, and at the end.  So a run that was killed still tells what
was planned; what has no verdict then is a `miss`.  `results.writer` writes it, `results.reader` reads it
together with the cells' own files.
"""

from __future__ import annotations

from typing import Any

import msgspec

from worldswitch.harness.cell_name import CellName
from worldswitch.harness.expectations.judgement import Judgement
from worldswitch.harness.expectations.outcome import Judged, Problem, Stale
from worldswitch.harness.verdict import Verdict

FORMAT = 1
FILE = "run.json"
JUDGEMENTS = "judgements.jsonl"


class PlannedScenario(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A scenario that every cell of the run was to try."""

    name: str
    ids: tuple[str, ...] = ()
    claim: str = ""
    clauses: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()

    def missed(self, trial: str, reason: str) -> dict[str, Any]:
        """The fields of a trial of it that never came."""
        known = {"ids": self.ids, "claim": self.claim, "clauses": self.clauses}
        return {"scenario": trial, "verdict": Verdict.MISS, "reason": reason, **known}


class PlannedCell(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One platform in one environment."""

    environment: str
    platform: str
    file: str  #: beside `run.json`; not there if the cell never spoke
    facts: dict[str, Any] = {}  #: what is known of the environment: engine, image, profile
    profile: dict[str, Any] = {}  #: the profile's fields as they were, without what it expects
    started: float | None = None  #: seconds since 1970
    finished: float | None = None  #: None if the run was cut off before
    problem: Problem | None = None

    @property
    def name(self) -> CellName:
        """What people call it."""
        return CellName(self.environment, self.platform)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of `run.json`."""

    format: int = FORMAT
    run: str  #: the folder's name
    started: float  #: seconds since 1970
    finished: float | None = None  #: None if the run was cut off
    interrupted: bool = False
    seed: int
    request: dict[str, Any]  #: the fields of `worldswitch.harness.run.request.Request`
    kernel: str  #: of the machine that drove the run; each cell's header has its own
    versions: dict[str, str]
    expectations: str = ""  #: a digest of every rule that was in force
    scenarios: tuple[PlannedScenario, ...]
    cells: tuple[PlannedCell, ...] = ()  #: none until the environments are known
    stale: tuple[Stale, ...] = ()  #: see `worldswitch.harness.stale`


class Ruling(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of `judgements.jsonl`: what was thought of one trial, unless that was plain.

    Plain is a trial of which no rule speaks: a pass is expected of it.  It has no line.
    """

    cell: str
    scenario: str
    verdict: Verdict
    expected: bool
    wanted: tuple[Verdict, ...]
    reason: str = ""
    rule: str = ""
    evidence: tuple[str, ...] = ()

    @property
    def judgement(self) -> Judgement:
        """The same as it was in the run."""
        return Judgement(self.expected, frozenset(self.wanted), self.reason, self.rule, self.evidence)


def ruling(cell: CellName, judged: Judged) -> Ruling:
    """What is to be kept of a judgement."""
    trial, judgement = judged.trial, judged.judgement
    return Ruling(
        cell=str(cell),
        scenario=trial.scenario,
        verdict=trial.verdict,
        expected=judgement.expected,
        wanted=tuple(sorted(judgement.wanted, key=lambda verdict: verdict.value)),
        reason=judgement.reason,
        rule=judgement.rule,
        evidence=judgement.evidence,
    )
