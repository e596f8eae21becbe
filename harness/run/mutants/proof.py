"""Whether each scenario bites: at least one mutant must be caught by it, or a list says why none can be.

What is decided in one environment, after all mutants were put to the test there:

    proven     a mutant that names it is caught by it
    excused    none is, and `unproven.toml` beside the mutants says why
    kernel     its claim is about the kernel alone: no mutant of a platform can break it
    not here   the reference cannot be put to it here (`unsupported`, `blocked`)
    unproven   none is, and nothing says why
    stale      the list says why none can be, but one is, or none need be, or there is no such scenario
    broken     the reference itself does not pass it

The last three are wrong.  What merely happens to fail on a mutant that does not name it proves nothing: the scenarios
that a mutant is put to beside those that it names are drawn, and the next draw is another.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from worldswitch.harness.catalogue.scenarios import Scenario, function_of
from worldswitch.harness.cell.records import Trial
from worldswitch.harness.run.mutants.fates import CellReport, MutantFate
from worldswitch.harness.verdict import SEVERITY, Verdict

UNPROVEN = "unproven.toml"  #: the list, beside the mutants


class ProofState(enum.Enum):
    """Where a scenario stands."""

    PROVEN = "proven"
    EXCUSED = "excused"
    KERNEL = "kernel"
    NOT_HERE = "not here"
    UNPROVEN = "unproven"
    STALE = "stale"
    BROKEN = "broken"

    @property
    def is_wrong(self) -> bool:
        """Somebody must do something about it."""
        return self in (ProofState.UNPROVEN, ProofState.STALE, ProofState.BROKEN)


@dataclass(frozen=True, slots=True)
class Proof:
    """Where one scenario stands in one environment, and which mutants it kills there."""

    scenario: str
    standing: ProofState
    reason: str = ""
    mutants: tuple[str, ...] = ()


def examine(
    scenarios: Iterable[Scenario],
    reference: CellReport,
    mutant_fates: Sequence[MutantFate],
    unproven: Mapping[str, str],
) -> list[Proof]:
    """Where each scenario stands."""
    known = list(scenarios)
    trials: dict[str, list[Trial]] = {}
    for trial in reference.trials.values():
        trials.setdefault(function_of(trial.scenario), []).append(trial)
    found = [_examine(one, trials.get(one.name, []), mutant_fates, unproven.get(one.name, "")) for one in known]
    return [*found, *_unknown(known, unproven)]


def _unknown(scenarios: Iterable[Scenario], unproven: Mapping[str, str]) -> Iterator[Proof]:
    names = {scenario.name for scenario in scenarios}
    for name in unproven:
        if name not in names:
            yield Proof(name, ProofState.STALE, f"{UNPROVEN} lists it, and there is no such scenario")


def _examine(scenario: Scenario, trials: Sequence[Trial], mutant_fates: Sequence[MutantFate], excuse: str) -> Proof:
    killed = tuple(one.mutant for one in mutant_fates if any(_is_of(scenario, kill) for kill in one.kills))
    standing, reason = _stand(scenario, trials, excuse, bool(killed))
    if standing is ProofState.UNPROVEN:
        reason = _hint(scenario, mutant_fates)
    return Proof(scenario.name, standing, reason, killed)


def _is_of(scenario: Scenario, trial: Trial) -> bool:
    return function_of(trial.scenario) == scenario.name


def _stand(scenario: Scenario, trials: Sequence[Trial], excuse: str, kills: bool) -> tuple[ProofState, str]:
    if excuse and (kills or scenario.subject == "kernel"):
        return ProofState.STALE, f"{UNPROVEN} lists it, and {'it kills a mutant' if kills else 'it need not kill one'}"
    said = [f"{trial.verdict.value}: {trial.reason}" for trial in sorted(trials, key=_severity)]
    verdicts = {trial.verdict for trial in trials}
    if not verdicts or verdicts - {Verdict.PASS, Verdict.UNSUPPORTED, Verdict.BLOCKED}:
        return ProofState.BROKEN, f"the reference itself: {said[0] if said else 'never ran'}"
    if Verdict.PASS not in verdicts:
        return ProofState.NOT_HERE, said[0]
    if scenario.subject == "kernel":
        return ProofState.KERNEL, ""
    if kills:
        return ProofState.PROVEN, ""
    return (ProofState.EXCUSED, excuse) if excuse else (ProofState.UNPROVEN, "")


def _severity(trial: Trial) -> int:
    return SEVERITY.index(trial.verdict)


def _hint(scenario: Scenario, mutant_fates: Iterable[MutantFate]) -> str:
    """What helps who must prove it: mutants that it fails on in this draw, but that do not name it."""
    near = [one.mutant for one in mutant_fates if any(_is_of(scenario, it) and it.assertion for it in one.undeclared)]
    said = "no mutant that names it is caught by it"
    return f"{said}; it fails on {', '.join(near)}" if near else said
