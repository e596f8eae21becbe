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
from worldswitch.harness.run.mutants.fates import Account, Autopsy
from worldswitch.harness.verdict import SEVERITY, Verdict

UNPROVEN = "unproven.toml"  #: the list, beside the mutants


class Standing(enum.Enum):
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
        return self in (Standing.UNPROVEN, Standing.STALE, Standing.BROKEN)


@dataclass(frozen=True, slots=True)
class Proof:
    """Where one scenario stands in one environment, and which mutants it kills there."""

    scenario: str
    standing: Standing
    reason: str = ""
    mutants: tuple[str, ...] = ()


def examine(
    scenarios: Iterable[Scenario], reference: Account, autopsies: Sequence[Autopsy], unproven: Mapping[str, str]
) -> list[Proof]:
    """Where each scenario stands."""
    known = list(scenarios)
    trials: dict[str, list[Trial]] = {}
    for trial in reference.trials.values():
        trials.setdefault(function_of(trial.scenario), []).append(trial)
    found = [_examine(one, trials.get(one.name, []), autopsies, unproven.get(one.name, "")) for one in known]
    return [*found, *_unknown(known, unproven)]


def _unknown(scenarios: Iterable[Scenario], unproven: Mapping[str, str]) -> Iterator[Proof]:
    names = {scenario.name for scenario in scenarios}
    for name in unproven:
        if name not in names:
            yield Proof(name, Standing.STALE, f"{UNPROVEN} lists it, and there is no such scenario")


def _examine(scenario: Scenario, trials: Sequence[Trial], autopsies: Sequence[Autopsy], excuse: str) -> Proof:
    killed = tuple(one.mutant for one in autopsies if any(_is_of(scenario, kill) for kill in one.kills))
    standing, reason = _stand(scenario, trials, excuse, bool(killed))
    if standing is Standing.UNPROVEN:
        reason = _hint(scenario, autopsies)
    return Proof(scenario.name, standing, reason, killed)


def _is_of(scenario: Scenario, trial: Trial) -> bool:
    return function_of(trial.scenario) == scenario.name


def _stand(scenario: Scenario, trials: Sequence[Trial], excuse: str, kills: bool) -> tuple[Standing, str]:
    if excuse and (kills or scenario.subject == "kernel"):
        return Standing.STALE, f"{UNPROVEN} lists it, and {'it kills a mutant' if kills else 'it need not kill one'}"
    said = [f"{trial.verdict.value}: {trial.reason}" for trial in sorted(trials, key=_severity)]
    verdicts = {trial.verdict for trial in trials}
    if not verdicts or verdicts - {Verdict.PASS, Verdict.UNSUPPORTED, Verdict.BLOCKED}:
        return Standing.BROKEN, f"the reference itself: {said[0] if said else 'never ran'}"
    if Verdict.PASS not in verdicts:
        return Standing.NOT_HERE, said[0]
    if scenario.subject == "kernel":
        return Standing.KERNEL, ""
    if kills:
        return Standing.PROVEN, ""
    return (Standing.EXCUSED, excuse) if excuse else (Standing.UNPROVEN, "")


def _severity(trial: Trial) -> int:
    return SEVERITY.index(trial.verdict)


def _hint(scenario: Scenario, autopsies: Iterable[Autopsy]) -> str:
    """What helps who must prove it: mutants that it fails on in this draw, but that do not name it."""
    near = [one.mutant for one in autopsies if any(_is_of(scenario, it) and it.assertion for it in one.undeclared)]
    said = "no mutant that names it is caught by it"
    return f"{said}; it fails on {', '.join(near)}" if near else said
