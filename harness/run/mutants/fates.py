"""Whether the scenarios bite: each mutant must be caught by the scenarios it names, and by their own assertions.

A mutant is the reference with one thing wrong.  First the unmutated reference must pass the scenarios a mutant names,
in the same environment; then the mutant must fail each of them.  What each name comes to:

    caught      a scenario of that name, which the reference passes here, failed by its own assertion
    survived    all of them came to another verdict about the platform
    error       one of them crashed, timed out, broke or never ran, or the reference does not pass it: nothing was shown
    untested    the reference cannot be put to it here (`unsupported`, `blocked`)

The mutant is worth the worst of these.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from worldswitch.harness.catalogue.scenarios import Scenario, is_meant
from worldswitch.harness.cell.records import Fingerprint, Header, Record, Trial
from worldswitch.harness.expectations.outcome import Problem
from worldswitch.harness.verdict import Verdict

Trials: TypeAlias = Mapping[str, Trial]  #: by the scenario's name


class Fate(enum.Enum):
    """What became of a mutant, worst first."""

    ERROR = "error"
    SURVIVED = "survived"
    UNTESTED = "untested"
    CAUGHT = "caught"


@dataclass(frozen=True, slots=True)
class MutantFinding:
    """What one name in a mutant's `caught_by` came to."""

    name: str
    fate: Fate
    reason: str
    undecided: tuple[str, ...] = ()  #: if it was not caught: the scenarios with which another seed may decide


@dataclass(frozen=True, slots=True)
class MutantFate:
    """What became of one mutant in one environment."""

    mutant: str
    environment: str
    findings: tuple[MutantFinding, ...]
    kills: tuple[Trial, ...] = ()  #: by scenarios that it names, each by its own assertion
    undeclared: tuple[Trial, ...] = ()  #: what else did not pass, where the reference does, whatever became of it
    passed: tuple[str, ...] = ()  #: the scenarios that see nothing wrong
    seconds: float = 0.0
    draws: int = 1  #: how many seeds it took

    @property
    def fate(self) -> Fate:
        """The worst of the findings; naming nothing is an error."""
        fates = {finding.fate for finding in self.findings}
        return next((fate for fate in Fate if fate in fates), Fate.ERROR)

    @property
    def missed(self) -> tuple[str, ...]:
        """The scenarios that should have caught it, and did not by their own assertion: another seed may decide."""
        return tuple(scenario for finding in self.findings for scenario in finding.undecided)


@dataclass(frozen=True, slots=True)
class CellReport:
    """What one cell reported."""

    trials: Trials
    problem: str = ""  #: why none of it counts
    machine: Fingerprint | None = None
    seconds: float = 0.0
    draws: int = 1


def later(before: CellReport, after: CellReport) -> CellReport:
    """What cells said of a mutant, with two seeds: what one scenario said last counts."""
    return CellReport(
        {**before.trials, **after.trials},
        before.problem or after.problem,
        before.machine,
        before.seconds + after.seconds,
        before.draws + after.draws,
    )


def kills_of(one: CellReport) -> CellReport:
    """Of a cell that may come to nothing: what failed by its own assertion, if any of it counts."""
    kills = {} if one.problem else {name: trial for name, trial in one.trials.items() if _bites(trial)}
    return replace(one, trials=kills, problem="")


def report(records: Iterable[Record], mutant: str, problem: Problem | None, seconds: float = 0) -> CellReport:
    """What a cell's records say, if it was `mutant` that was put to the test (nothing for the reference)."""
    records = tuple(records)
    headers = [record for record in records if isinstance(record, Header)]
    trials = {record.scenario: record for record in records if isinstance(record, Trial)}
    machine = headers[0].fingerprint if headers else None
    reason = problem.reason if problem else ""
    if not reason and [header.mutant or "" for header in headers] != [mutant]:
        reason = f"the cell did not run {mutant or 'the reference'}"
    return CellReport(trials, reason, machine, seconds)


def called(scenarios: Iterable[Scenario], *names: str) -> list[Scenario]:
    """The scenarios that are meant by one of these names."""
    return [one for one in scenarios if any(map(one.is_called, names))]


def examine(
    mutant: str, place: str, caught_by: Iterable[str], reference: CellReport, mutated: CellReport
) -> MutantFate:
    """Hold a mutant's trials against the reference's."""
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
        kills=tuple(filter(_bites, declared)),
        undeclared=tuple(trial for trial in comparable if not (_passes(trial) or _is_named(trial, names))),
        passed=tuple(trial.scenario for trial in comparable if _passes(trial)),
        seconds=mutated.seconds,
        draws=mutated.draws,
    )


def _passes(trial: Trial | None) -> bool:
    return trial is not None and trial.verdict is Verdict.PASS


def _bites(trial: Trial) -> bool:
    return trial.verdict is Verdict.FAIL and trial.assertion


def _is_named(trial: Trial, names: Iterable[str]) -> bool:
    return any(is_meant(name, trial.scenario, trial.ids) for name in names)


def _finding(name: str, reference: Trials, mutated: Trials) -> MutantFinding:
    before = [trial for trial in reference.values() if is_meant(name, trial.scenario, trial.ids)]
    broken = [trial for trial in before if trial.verdict not in (Verdict.PASS, Verdict.UNSUPPORTED, Verdict.BLOCKED)]
    if broken or not before:
        said = f"the reference itself: {_said(broken[0])}" if broken else "no such scenario ran on the reference"
        return MutantFinding(name, Fate.ERROR, said)
    passed = [trial.scenario for trial in before if trial.verdict is Verdict.PASS]
    if not passed:
        return MutantFinding(name, Fate.UNTESTED, _said(before[0]))
    return _bite(name, passed, mutated)


def _bite(name: str, scenarios: Sequence[str], mutated: Trials) -> MutantFinding:
    """What came of `scenarios`, all of which the reference passes, on the mutant."""
    after = [mutated[scenario] for scenario in scenarios if scenario in mutated]
    nothing = [trial for trial in after if trial.verdict not in (Verdict.PASS, Verdict.FAIL)]
    if nothing or len(after) < len(scenarios):
        broken = tuple(trial.scenario for trial in nothing if trial.verdict in (Verdict.ERROR, Verdict.CRASH))
        return MutantFinding(name, Fate.ERROR, _said(nothing[0]) if nothing else "never ran on the mutant", broken)
    biting = list(filter(_bites, after))
    if biting:
        return MutantFinding(name, Fate.CAUGHT, _said(biting[0]))
    return MutantFinding(name, Fate.SURVIVED, "; ".join(map(_said, after)), tuple(trial.scenario for trial in after))


def _said(trial: Trial) -> str:
    reason = trial.reason.partition("\n")[0]
    return f"{trial.verdict.value} in {trial.scenario}" + (f": {reason}" if reason else "")
