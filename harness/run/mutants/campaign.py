"""Runs the mutants: `worldswitch mutants`.

In each environment the unmutated reference goes first, through all scenarios that any of the mutants will meet; then
each mutant in a cell of its own, several at a time, through the scenarios that it names and a random tenth of the
others, drawn for each mutant anew from a seed that is told.  Some scenarios leave what they do to chance: one that a
mutant names and that does not catch it is tried again with the next seeds, a bounded number of times; in the end so is
one that no mutant that names it was caught by.  What that shows of a mutant is decided in
`worldswitch.harness.run.mutants.fates`, what it shows of the scenarios in `worldswitch.harness.run.mutants.proof`.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import Protocol

from worldswitch.harness.catalogue import reason_lists
from worldswitch.harness.catalogue import scenarios as catalogue
from worldswitch.harness.catalogue.loading import NotFound
from worldswitch.harness.catalogue.mutants import MUTANTS, Mutant, load_mutant, mutants
from worldswitch.harness.catalogue.scenarios import Scenario, is_meant
from worldswitch.harness.cell.records import Header, Record, Trial
from worldswitch.harness.environments.protocol import Environment, Missing
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.run.mutants import cells, fates, proof
from worldswitch.harness.run.mutants import matrix as kill_matrix
from worldswitch.harness.run.mutants.fates import CellReport, MutantFate
from worldswitch.harness.run.mutants.matrix import Matrix, Place
from worldswitch.harness.run.mutants.proof import Proof, ProofState
from worldswitch.harness.run.request import Request

TENTH = 10  #: one in so many of the scenarios that a mutant does not name

#: How many seeds a scenario may take to catch a mutant that names it.
DRAWS = 5

#: On a mutant no trial takes longer than this, and what it does not name not longer than that altogether, in seconds:
#: some hang everywhere, and of those it is enough to see a few.
LONGEST, SPARED = 30.0, 30.0


class CampaignWatcher(Protocol):
    """Is told how a hunt goes on; by several threads."""

    def say(self, line: str) -> None:
        """What is being done that takes a while."""

    def reference_starts(self, environment: str) -> None:
        """The reference goes first."""

    def reference_plans(self, trials: int) -> None:
        """It is put to so many."""

    def reference_trial(self) -> None:
        """One of them has a verdict."""

    def mutants_start(self, environment: str, mutants: int) -> None:
        """So many mutants are next."""

    def mutant_starts(self, mutant: str) -> None:
        """One of them is put to its scenarios."""

    def mutant_ends(self, one: MutantFate) -> None:
        """Its fate is known."""


def chosen(names: Sequence[str]) -> Mapping[str, Mutant]:
    """The mutants called so, or all."""
    try:
        return {name: load_mutant(name) for name in names} if names else mutants()
    except NotFound as problem:
        raise CouldNotRun(str(problem)) from problem


def scenarios() -> Sequence[Scenario]:
    """All scenarios."""
    try:
        return catalogue.scenarios()
    except NotFound as problem:
        raise CouldNotRun(str(problem)) from problem


def unproven() -> Mapping[str, str]:
    """The scenarios that no mutant can be caught by, and why."""
    try:
        return reason_lists.load(MUTANTS, proof.UNPROVEN)
    except NotFound as problem:
        raise CouldNotRun(str(problem)) from problem


@dataclass(frozen=True)
class Campaign:
    """Mutants, and the scenarios that are to catch them."""

    request: Request
    mutants: Mapping[str, Mutant]
    scenarios: Sequence[Scenario]
    watcher: CampaignWatcher
    full: bool = False  #: put them to every scenario, not only to those they name and a tenth of the others
    unproven: Mapping[str, str] | None = None  #: None if there are not all mutants: what a scenario proves is open then

    def __post_init__(self) -> None:
        """Refuse what would show nothing: no mutant, or one that names no scenario there is."""
        if not self.mutants:
            raise CouldNotRun(f"there are no mutants: {MUTANTS} lists none")
        for mutant in self.mutants.values():
            for name in mutant.caught_by or ("",):
                if not fates.called(self.scenarios, name):
                    raise CouldNotRun(f"mutant {mutant.name}: caught by {name!r}, and no scenario is called that")

    def go(self) -> Matrix:
        """What becomes of each mutant in each environment."""
        started, begin = time.time(), time.monotonic()
        with self.request.places(self.watcher.say) as plan:
            places = tuple(self._here(place) for place in plan)
        return Matrix(
            started=started,
            seconds=round(time.monotonic() - begin, 1),
            seed=self.request.seed,
            repeat=self.request.repeat,
            full=self.full,
            places=places,
        )

    def drawn(self, mutant: Mutant) -> list[Scenario]:
        """The scenarios that `mutant` is put to; the same for the same seed."""
        named = fates.called(self.scenarios, *mutant.caught_by)
        others = [one for one in self.scenarios if one.subject == "platform" and one not in named]
        if self.full:
            return [*named, *others]
        others = [one for one in others if not one.is_called(catalogue.CHAOS)]  # it looks long for the shortest way
        return [
            *named,
            *random.Random(f"{self.request.seed} {mutant.name}").sample(others, math.ceil(len(others) / TENTH)),
        ]

    def _here(self, place: Environment | Missing) -> Place:
        if isinstance(place, Missing):
            reference = CellReport({}, f"{place.reason}; {place.remedy}")
        else:
            reference = self._reference(place)
        if reference.problem or isinstance(place, Missing):
            mutant_fates = [self._examine(one, place.name, reference, reference) for one in self.mutants.values()]
        else:
            mutant_fates = self._all(place, reference)
        proofs = self._proofs(reference, mutant_fates)
        return kill_matrix.place(place.name, reference, self.mutants, self.scenarios, mutant_fates, proofs)

    def _proofs(self, reference: CellReport, mutant_fates: Sequence[MutantFate]) -> list[Proof]:
        if self.unproven is None or reference.problem:
            return []
        return proof.examine(self.scenarios, reference, mutant_fates, self.unproven)

    def _reference(self, place: Environment) -> CellReport:
        met = {one.name: one for mutant in self.mutants.values() for one in self.drawn(mutant)}
        every = self.unproven is not None
        chosen = list(self.scenarios) if every else list(met.values())
        self.watcher.reference_starts(place.name)
        return self._put_reference(place, chosen)

    def _all(self, place: Environment, reference: CellReport) -> list[MutantFate]:
        """Every mutant, several at a time; told as they end, and answered in their order."""
        self.watcher.mutants_start(place.name, len(self.mutants))
        reports: dict[str, CellReport] = {}
        with ThreadPoolExecutor(self.request.workers) as pool, cells.StoppableEnvironment(place) as ended:
            put = {pool.submit(self._one, ended, mutant, reference): mutant for mutant in self.mutants.values()}
            for future in as_completed(put):
                mutant = put[future]
                reports[mutant.name] = future.result()
                self.watcher.mutant_ends(self._examine(mutant, place.name, reference, reports[mutant.name]))
            for draw in range(2, DRAWS + 1):
                self._prove(ended, pool, reference, reports, draw)
        return self._examine_all(place, reference, reports)

    def _examine_all(
        self, place: Environment, reference: CellReport, reports: Mapping[str, CellReport]
    ) -> list[MutantFate]:
        return [self._examine(one, place.name, reference, reports[name]) for name, one in self.mutants.items()]

    def _prove(
        self, place: Environment, pool: Executor, reference: CellReport, reports: dict[str, CellReport], draw: int
    ) -> None:
        """Put mutants once more to what they name and none was caught by; what it shows beside a kill is left out."""
        proofs = self._proofs(reference, self._examine_all(place, reference, reports))
        idle = {one.scenario for one in proofs if one.standing is ProofState.UNPROVEN}
        put = {}
        for name, mutant in self.mutants.items():
            if again := [one for one in fates.called(self.scenarios, *mutant.caught_by) if one.name in idle]:
                put[name] = pool.submit(self._put_mutant, place, mutant, again, draw)
        for name, future in put.items():
            reports[name] = fates.later(reports[name], fates.kills_of(future.result()))

    def _one(self, place: Environment, mutant: Mutant, reference: CellReport) -> CellReport:
        self.watcher.mutant_starts(mutant.name)
        mutated = self._put_mutant(place, mutant, self.drawn(mutant), 1)
        for draw in range(2, DRAWS + 1):
            missed = self._examine(mutant, place.name, reference, mutated).missed
            if not missed:
                break
            again = fates.called(self.scenarios, *missed)
            mutated = fates.later(mutated, self._put_mutant(place, mutant, again, draw))
        return mutated

    def _examine(self, mutant: Mutant, place: str, reference: CellReport, mutated: CellReport) -> MutantFate:
        return fates.examine(mutant.name, place, mutant.caught_by, reference, mutated)

    def _put_reference(self, place: Environment, chosen: Sequence[Scenario]) -> CellReport:
        def watch(record: Record) -> None:
            if isinstance(record, Header):
                self.watcher.reference_plans(len(record.planned))
            if isinstance(record, Trial):
                self.watcher.reference_trial()

        return cells.run(place, self.request, chosen, watch)

    def _put_mutant(self, place: Environment, mutant: Mutant, chosen: Sequence[Scenario], draw: int) -> CellReport:
        deadline = min(self.request.deadline or LONGEST, LONGEST)
        seed = self.request.seed + draw - 1
        request = replace(self.request, mutant=mutant.name, workers=0, deadline=deadline, seed=seed)
        spared = math.inf if self.full else SPARED
        spent = 0.0

        def watch(record: Record) -> None:
            nonlocal spent
            if isinstance(record, Trial) and not any(
                is_meant(it, record.scenario, record.ids) for it in mutant.caught_by
            ):
                spent += record.seconds
                if spent > spared:  # what it names came first
                    raise cells.Enough

        return cells.run(place, request, chosen, watch)
