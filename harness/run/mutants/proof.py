"""Decides whether each scenario is proven: it must kill a mutant that names it, or a list must say why none can be.

The states of a scenario in one environment, after all mutants have run there:

    proven     it kills a mutant that names it
    excused    it kills none, and `unproven.toml` of the mutants says why
    kernel     its claim is about the kernel alone, which no mutant of a platform can break
    not here   the reference cannot run it here (`unsupported`, `blocked`)
    unproven   it kills none, and the list does not have it
    stale      the list has it, but it kills a mutant, need not kill one, or does not exist
    broken     the reference itself does not pass it

The last three are wrong.  A failure on a mutant that does not name the scenario proves nothing, because the scenarios
that a mutant runs besides those that it names are drawn at random.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from worldswitch.harness.catalogue.scenarios import Scenario, function_of
from worldswitch.harness.cell.records import Trial
from worldswitch.harness.run.mutants.fates import CellReport, MutantFate
from worldswitch.harness.verdict import SEVERITY, Verdict

UNPROVEN = "unproven.toml"  #: the list, in the package of the mutants


class ProofState(enum.StrEnum):
    """The state of a scenario."""

    PROVEN = "proven"
    EXCUSED = "excused"
    KERNEL = "kernel"
    NOT_HERE = "not here"
    UNPROVEN = "unproven"
    STALE = "stale"
    BROKEN = "broken"

    @property
    def is_wrong(self) -> bool:
        """True if a scenario or the list must be mended."""
        return self in (ProofState.UNPROVEN, ProofState.STALE, ProofState.BROKEN)


class Proof(msgspec.Struct, frozen=True):
    """One scenario in one environment: its state, and the mutants that it kills there."""

    name: str
    standing: str  #: a `ProofState`
    reason: str = ""  #: why it is not `proven`
    mutants: tuple[str, ...] = ()  #: that it kills
    ids: tuple[str, ...] = ()
    claim: str = ""


def examine(
    scenarios: Iterable[Scenario],
    reference: CellReport,
    mutant_fates: Sequence[MutantFate],
    unproven: Mapping[str, str],
) -> list[Proof]:
    """Return the state of each scenario and of each unknown name in the list."""
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
            yield Proof(name, ProofState.STALE, f"{UNPROVEN} lists it, but there is no such scenario")


def _examine(scenario: Scenario, trials: Sequence[Trial], mutant_fates: Sequence[MutantFate], excuse: str) -> Proof:
    killed = tuple(one.mutant for one in mutant_fates if any(_is_of(scenario, kill) for kill in one.kills))
    standing, reason = _stand(scenario, trials, excuse, bool(killed))
    if standing is ProofState.UNPROVEN:
        reason = _hint(scenario, mutant_fates)
    return Proof(scenario.name, standing, reason, killed, scenario.ids, scenario.claim)


def _is_of(scenario: Scenario, trial: Trial) -> bool:
    return function_of(trial.scenario) == scenario.name


def _stand(scenario: Scenario, trials: Sequence[Trial], excuse: str, kills: bool) -> tuple[ProofState, str]:
    if excuse and (kills or scenario.subject == "kernel"):
        return ProofState.STALE, f"{UNPROVEN} lists it, but {'it kills a mutant' if kills else 'it need not kill one'}"
    reasons = [f"{trial.verdict.value}: {trial.reason}" for trial in sorted(trials, key=_severity)]
    verdicts = {trial.verdict for trial in trials}
    if not verdicts or verdicts - {Verdict.PASS, Verdict.UNSUPPORTED, Verdict.BLOCKED}:
        return ProofState.BROKEN, f"the reference itself: {reasons[0] if reasons else 'did not run'}"
    if Verdict.PASS not in verdicts:
        return ProofState.NOT_HERE, reasons[0]
    if scenario.subject == "kernel":
        return ProofState.KERNEL, ""
    if kills:
        return ProofState.PROVEN, ""
    return (ProofState.EXCUSED, excuse) if excuse else (ProofState.UNPROVEN, "")


def _severity(trial: Trial) -> int:
    return SEVERITY.index(trial.verdict)


def _hint(scenario: Scenario, mutant_fates: Iterable[MutantFate]) -> str:
    """Return a reason that lists the mutants that it fails on in this draw, but that do not name it."""
    near = [one.mutant for one in mutant_fates if any(_is_of(scenario, it) and it.assertion for it in one.undeclared)]
    reason = "it kills no mutant that names it"
    return f"{reason}; it fails on {', '.join(near)}" if near else reason
