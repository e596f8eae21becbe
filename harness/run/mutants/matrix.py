"""The kill matrix: which scenario kills which mutant, as one JSON document.

`Matrix`   when and how it was made, and the seed that drew the scenarios; one `Place` an environment
`Place`    the machine, the counts, every mutant and every scenario
`Mutated`  one mutant: its fault, its fate, and the scenarios that kill it
`Proof`    one scenario: its state, and the mutants that it kills
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from worldswitch.harness.catalogue.mutants import Mutant
from worldswitch.harness.cell.records import Trial
from worldswitch.harness.expectations.outcome import Status, Tally
from worldswitch.harness.run.mutants.fates import CellReport, Fate, MutantFate, MutantFinding
from worldswitch.harness.run.mutants.proof import Proof, ProofState

FORMAT = 1


class Failure(msgspec.Struct, frozen=True):
    """One scenario that did not pass on a mutant."""

    scenario: str
    verdict: str
    assertion: bool  #: by its own assertion
    reason: str


class Mutated(msgspec.Struct, frozen=True, kw_only=True):
    """One mutant."""

    name: str
    about: str
    origin: str
    module: str
    caught_by: tuple[str, ...]
    fate: str
    killed_by: tuple[Failure, ...]
    unkept: tuple[MutantFinding, ...]  #: the names in `caught_by` that did not catch it
    undeclared: tuple[Failure, ...]  #: of scenarios that it does not name, drawn anew each run
    passed: tuple[str, ...]  #: the scenarios that it passes
    seconds: float
    draws: int = 1  #: the number of seeds until all that it names caught it, or the limit


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One environment."""

    environment: str
    kernel: str
    machine: str
    problem: str  #: why there are no fates here
    fates: dict[str, int]
    standings: dict[str, int]
    mutants: tuple[Mutated, ...]
    scenarios: tuple[Proof, ...]  #: empty unless all mutants ran


class Matrix(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the mutants."""

    format: int = FORMAT
    started: float  #: seconds since 1970
    seconds: float
    seed: int
    repeat: str
    full: bool  #: each mutant ran every scenario, not only a tenth of those that it does not name
    places: tuple[Place, ...]


def place(
    environment: str,
    reference: CellReport,
    mutants: Mapping[str, Mutant],
    mutant_fates: Iterable[MutantFate],
    proofs: Iterable[Proof],
) -> Place:
    """Return the matrix of one environment."""
    mutant_fates, proofs = tuple(mutant_fates), tuple(proofs)
    return Place(
        environment=environment,
        kernel=reference.machine.kernel if reference.machine else "",
        machine=reference.machine.machine if reference.machine else "",
        problem=reference.problem,
        fates=dict(Counter(one.fate for one in mutant_fates)),
        standings=dict(Counter(one.standing for one in proofs)),
        mutants=tuple(_mutated(mutants[one.mutant], one) for one in mutant_fates),
        scenarios=proofs,
    )


def _mutated(mutant: Mutant, one: MutantFate) -> Mutated:
    return Mutated(
        name=mutant.name,
        about=mutant.about,
        origin=mutant.origin,
        module=mutant.module.rpartition(".")[2],
        caught_by=tuple(mutant.caught_by),
        fate=one.fate,
        killed_by=tuple(map(_failure, one.kills)),
        unkept=tuple(msgspec.structs.replace(it, undecided=()) for it in one.findings if it.fate is not Fate.CAUGHT),
        undeclared=tuple(map(_failure, one.undeclared)),
        passed=one.passed,
        seconds=round(one.seconds, 1),
        draws=one.draws,
    )


def _failure(trial: Trial) -> Failure:
    return Failure(trial.scenario, trial.verdict.value, trial.assertion, trial.reason.partition("\n")[0])


def tally(matrix: Matrix) -> Tally:
    """Count mutants; a scenario whose state is wrong counts as failed."""
    fates = [one.fate for place in matrix.places for one in place.mutants]
    caught, untested = fates.count(Fate.CAUGHT), fates.count(Fate.UNTESTED)
    return Tally(caught, len(fates) - caught - untested + sum(len(wrong(place)) for place in matrix.places), untested)


def wrong(place: Place) -> list[Proof]:
    """Return the scenarios whose state is wrong."""
    return [one for one in place.scenarios if ProofState(one.standing).is_wrong]


def status(matrix: Matrix) -> Status:
    """Return the exit status; without a caught mutant, the run could not run."""
    fates = {one.fate for place in matrix.places for one in place.mutants}
    if Fate.SURVIVED in fates or any(map(wrong, matrix.places)):
        return Status.UNEXPECTED
    if Fate.ERROR in fates or Fate.CAUGHT not in fates:
        return Status.COULD_NOT_RUN
    return Status.AS_EXPECTED


def write(matrix: Matrix, path: Path) -> None:
    """Write `matrix` to `path` as indented JSON."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(matrix), indent=1) + b"\n")
