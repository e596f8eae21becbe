"""Decides what became of each mutant: killed by the scenarios that it names, or not.

A mutant is the reference with one fault.  The reference must pass the scenarios that the mutant names, in the same
environment, and the mutant must fail each of them by the scenario's own assertion.  The fate of each name:

    caught      a scenario of that name, which the reference passes here, failed by its own assertion
    survived    all of them reached another verdict about the platform
    error       one of them crashed, timed out, broke or did not run, or the reference does not pass it
    untested    the reference cannot run it here (`unsupported`, `blocked`)

The fate of the mutant is the worst of these.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import msgspec

from worldswitch.harness.catalogue.scenarios import Scenario, is_meant
from worldswitch.harness.cell.records import Fingerprint, Header, Record, Trial
from worldswitch.harness.expectations.outcome import Problem
from worldswitch.harness.verdict import Verdict

Trials: TypeAlias = Mapping[str, Trial]  #: by the scenario's name


class Fate(enum.StrEnum):
    """What became of a mutant, worst first."""

    ERROR = "error"
    SURVIVED = "survived"
    UNTESTED = "untested"
    CAUGHT = "caught"


class MutantFinding(msgspec.Struct, frozen=True, omit_defaults=True):
    """The fate of one name in a mutant's `caught_by`."""

    name: str
    fate: Fate
    reason: str
    undecided: tuple[str, ...] = ()  #: if not caught: the scenarios that may fail with another seed


@dataclass(frozen=True, slots=True)
class MutantFate:
    """The fate of one mutant in one environment."""

    mutant: str
    environment: str
    findings: tuple[MutantFinding, ...]
    kills: tuple[Trial, ...] = ()  #: failures by their own assertion of scenarios that it names
    undeclared: tuple[Trial, ...] = ()  #: other trials that do not pass, and that the reference passes
    passed: tuple[str, ...] = ()  #: the scenarios that it passes
    seconds: float = 0.0
    draws: int = 1  #: the number of seeds

    @property
    def fate(self) -> Fate:
        """The worst of the findings; `ERROR` if there are none."""
        fates = {finding.fate for finding in self.findings}
        return next((fate for fate in Fate if fate in fates), Fate.ERROR)

    @property
    def missed(self) -> tuple[str, ...]:
        """The scenarios that should have caught it and may do so with another seed."""
        return tuple(scenario for finding in self.findings for scenario in finding.undecided)


@dataclass(frozen=True, slots=True)
class CellReport:
    """The trials that one or more cells reported."""

    trials: Trials
    problem: str = ""  #: why none of them counts
    machine: Fingerprint | None = None
    seconds: float = 0.0
    draws: int = 1


def later(before: CellReport, after: CellReport) -> CellReport:
    """Merge the reports on a mutant with two seeds; the later trial of a scenario counts."""
    return CellReport(
        {**before.trials, **after.trials},
        before.problem or after.problem,
        before.machine,
        before.seconds + after.seconds,
        before.draws + after.draws,
    )


def kills_of(report: CellReport) -> CellReport:
    """Keep the failures by assertion, none of a cell with a problem; the problem is dropped."""
    kills = {} if report.problem else {name: trial for name, trial in report.trials.items() if _is_kill(trial)}
    return replace(report, trials=kills, problem="")


def report(records: Iterable[Record], mutant: str, problem: Problem | None, seconds: float = 0) -> CellReport:
    """Return the report of a cell that should have run `mutant` ("" for the reference)."""
    records = tuple(records)
    headers = [record for record in records if isinstance(record, Header)]
    trials = {record.scenario: record for record in records if isinstance(record, Trial)}
    machine = headers[0].fingerprint if headers else None
    reason = problem.reason if problem else ""
    if not reason and [header.mutant or "" for header in headers] != [mutant]:
        reason = f"the cell did not run {mutant or 'the reference'}"
    return CellReport(trials, reason, machine, seconds)


def called(scenarios: Iterable[Scenario], *names: str) -> list[Scenario]:
    """Return the scenarios that one of these names or patterns matches."""
    return [one for one in scenarios if any(map(one.is_called, names))]


def examine(
    mutant: str, place: str, caught_by: Iterable[str], reference: CellReport, mutated: CellReport
) -> MutantFate:
    """Decide the fate of a mutant by its trials and those of the reference."""
    names = tuple(caught_by)
    problem = reference.problem or mutated.problem
    if problem:
        findings = tuple(MutantFinding(name, Fate.ERROR, problem) for name in names)
        return MutantFate(mutant, place, findings, seconds=mutated.seconds, draws=mutated.draws)
    comparable = [trial for trial in mutated.trials.values() if _passes(reference.trials.get(trial.scenario))]
    declared = [trial for trial in comparable if _is_named(trial, names)]
    return MutantFate(
        mutant,
        place,
        findings=tuple(_finding(name, reference.trials, mutated.trials) for name in names),
        kills=tuple(filter(_is_kill, declared)),
        undeclared=tuple(trial for trial in comparable if not (_passes(trial) or _is_named(trial, names))),
        passed=tuple(trial.scenario for trial in comparable if _passes(trial)),
        seconds=mutated.seconds,
        draws=mutated.draws,
    )


def _passes(trial: Trial | None) -> bool:
    return trial is not None and trial.verdict is Verdict.PASS


def _is_kill(trial: Trial) -> bool:
    return trial.verdict is Verdict.FAIL and trial.assertion


def _is_named(trial: Trial, names: Iterable[str]) -> bool:
    return any(is_meant(name, trial.scenario, trial.ids) for name in names)


def _finding(name: str, reference: Trials, mutated: Trials) -> MutantFinding:
    before = [trial for trial in reference.values() if is_meant(name, trial.scenario, trial.ids)]
    broken = [trial for trial in before if trial.verdict not in (Verdict.PASS, Verdict.UNSUPPORTED, Verdict.BLOCKED)]
    if broken or not before:
        reason = f"the reference itself: {_line(broken[0])}" if broken else "no such scenario ran on the reference"
        return MutantFinding(name, Fate.ERROR, reason)
    passed = [trial.scenario for trial in before if trial.verdict is Verdict.PASS]
    if not passed:
        return MutantFinding(name, Fate.UNTESTED, _line(before[0]))
    return _mutant_finding(name, passed, mutated)


def _mutant_finding(name: str, scenarios: Sequence[str], mutated: Trials) -> MutantFinding:
    """Return the finding for a name whose `scenarios` the reference passes."""
    after = [mutated[scenario] for scenario in scenarios if scenario in mutated]
    nothing = [trial for trial in after if trial.verdict not in (Verdict.PASS, Verdict.FAIL)]
    if nothing or len(after) < len(scenarios):
        broken = tuple(trial.scenario for trial in nothing if trial.verdict in (Verdict.ERROR, Verdict.CRASH))
        return MutantFinding(name, Fate.ERROR, _line(nothing[0]) if nothing else "did not run on the mutant", broken)
    kills = list(filter(_is_kill, after))
    if kills:
        return MutantFinding(name, Fate.CAUGHT, _line(kills[0]))
    return MutantFinding(name, Fate.SURVIVED, "; ".join(map(_line, after)), tuple(trial.scenario for trial in after))


def _line(trial: Trial) -> str:
    reason = trial.reason.partition("\n")[0]
    return f"{trial.verdict.value} in {trial.scenario}" + (f": {reason}" if reason else "")
