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

from worldswitch.harness.autopsy import Account, Autopsy
from worldswitch.harness.catalogue import Scenario
from worldswitch.harness.results import Trial
from worldswitch.harness.verdict import Verdict

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
    found = [_examine(one, reference.trials.get(one.name), autopsies, unproven.get(one.name, "")) for one in known]
    return [*found, *_unknown(known, unproven)]


def _unknown(scenarios: Iterable[Scenario], unproven: Mapping[str, str]) -> Iterator[Proof]:
    names = {scenario.name for scenario in scenarios}
    for name in unproven:
        if name not in names:
            yield Proof(name, Standing.STALE, f"{UNPROVEN} lists it, and there is no such scenario")


def _examine(scenario: Scenario, trial: Trial | None, autopsies: Sequence[Autopsy], excuse: str) -> Proof:
    killed = tuple(one.mutant for one in autopsies for kill in one.kills if kill.scenario == scenario.name)
    standing, reason = _stand(scenario, trial, excuse, bool(killed))
    if standing is Standing.UNPROVEN:
        reason = _hint(scenario, autopsies)
    return Proof(scenario.name, standing, reason, killed)


def _stand(scenario: Scenario, trial: Trial | None, excuse: str, kills: bool) -> tuple[Standing, str]:
    if excuse and (kills or scenario.subject == "kernel"):
        return Standing.STALE, f"{UNPROVEN} lists it, and {'it kills a mutant' if kills else 'it need not kill one'}"
    if trial is None or trial.verdict not in (Verdict.PASS, Verdict.UNSUPPORTED, Verdict.BLOCKED):
        said = f"{trial.verdict.value}: {trial.reason}" if trial else "never ran"
        return Standing.BROKEN, f"the reference itself: {said}"
    if trial.verdict is not Verdict.PASS:
        return Standing.NOT_HERE, f"{trial.verdict.value}: {trial.reason}"
    if scenario.subject == "kernel":
        return Standing.KERNEL, ""
    if kills:
        return Standing.PROVEN, ""
    return (Standing.EXCUSED, excuse) if excuse else (Standing.UNPROVEN, "")


def _hint(scenario: Scenario, autopsies: Iterable[Autopsy]) -> str:
    """What helps who must prove it: mutants that it fails on in this draw, but that do not name it."""
    near = [
        one.mutant
        for one in autopsies
        for trial in one.undeclared
        if trial.scenario == scenario.name and trial.assertion
    ]
    said = "no mutant that names it is caught by it"
    return f"{said}; it fails on {', '.join(near)}" if near else said
