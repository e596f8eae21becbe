"""Runs the mutants: `worldswitch mutants`.

In each environment the unmutated reference runs first, with every scenario that any mutant will run.  Then each mutant
runs in its own cell, several in parallel, with the scenarios that it names and a random tenth of the others, drawn for
each mutant from the seed that is printed.  Some scenarios depend on chance: one that a mutant names and that does not
catch it is repeated with the next seeds, a bounded number of times; at the end so is one that killed no mutant that
names it.  `worldswitch.harness.run.mutants.fates` decides the fates of mutants, `worldswitch.harness.run.mutants.proof`
the states of scenarios.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import Protocol

from worldswitch.harness.catalogue import scenarios as catalogue
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

TENTH = 10  #: one in ten of the scenarios that a mutant does not name

#: The number of seeds with which a scenario may catch a mutant that names it.
DRAWS = 5

#: The limits of one trial on a mutant, and of all the trials that it does not name together, in seconds: some mutants
#: hang in every trial, and a few of those are enough.
TRIAL_SECONDS, OTHERS_SECONDS = 30.0, 30.0


class CampaignWatcher(Protocol):
    """Is notified of the progress of a campaign, from any thread."""

    def say(self, line: str) -> None:
        """A long operation starts."""

    def reference_starts(self, environment: str) -> None:
        """The reference starts."""

    def reference_plans(self, trials: int) -> None:
        """The reference will run this number of trials."""

    def reference_trial(self) -> None:
        """One of these has a verdict."""

    def mutants_start(self, environment: str, mutants: int) -> None:
        """The mutants start."""

    def mutant_starts(self, mutant: str) -> None:
        """A mutant starts."""

    def mutant_ends(self, one: MutantFate) -> None:
        """The fate of a mutant is known."""


def chosen(names: Sequence[str]) -> Mapping[str, Mutant]:
    """Return the mutants of these names, or all.  Raises `NotFound`."""
    return {name: load_mutant(name) for name in names} if names else mutants()


@dataclass(frozen=True)
class Campaign:
    """A run of mutants, and the scenarios that should catch them."""

    request: Request
    mutants: Mapping[str, Mutant]
    scenarios: Sequence[Scenario]
    watcher: CampaignWatcher
    full: bool = False  #: run every scenario, not only those that a mutant names and a tenth of the others
    unproven: Mapping[str, str] | None = None  #: None for some mutants only: the states of scenarios are unknown then

    def __post_init__(self) -> None:
        """Raise `CouldNotRun` without mutants, and for a mutant that names no existing scenario."""
        if not self.mutants:
            raise CouldNotRun(f"there are no mutants: {MUTANTS} lists none")
        for mutant in self.mutants.values():
            for name in mutant.caught_by or ("",):
                if not fates.called(self.scenarios, name):
                    raise CouldNotRun(f"mutant {mutant.name}: caught_by: no scenario is called {name!r}")

    def go(self) -> Matrix:
        """Run every mutant in every environment."""
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
        """Return the scenarios that `mutant` runs; the same for the same seed."""
        named = fates.called(self.scenarios, *mutant.caught_by)
        others = [one for one in self.scenarios if one.subject == "platform" and one not in named]
        if self.full:
            return [*named, *others]
        others = [
            one for one in others if not one.is_called(catalogue.CHAOS)
        ]  # a failing chaos scenario is shrunk, which takes long
        return [
            *named,
            *random.Random(f"{self.request.seed} {mutant.name}").sample(others, math.ceil(len(others) / TENTH)),
        ]

    def _here(self, place: Environment | Missing) -> Place:
        if isinstance(place, Missing):
            reference = CellReport({}, f"{place.reason}; {place.remedy}")
        else:
            reference = self._reference(place)
        reports = dict.fromkeys(self.mutants, reference)
        if not (reference.problem or isinstance(place, Missing)):
            reports = self._all(place, reference)
        mutant_fates = self._examine_all(place.name, reference, reports)
        proofs = self._proofs(reference, mutant_fates)
        return kill_matrix.place(place.name, reference, self.mutants, mutant_fates, proofs)

    def _proofs(self, reference: CellReport, mutant_fates: Sequence[MutantFate]) -> list[Proof]:
        if self.unproven is None or reference.problem:
            return []
        return proof.examine(self.scenarios, reference, mutant_fates, self.unproven)

    def _reference(self, place: Environment) -> CellReport:
        drawn = {one.name: one for mutant in self.mutants.values() for one in self.drawn(mutant)}
        chosen = self.scenarios if self.unproven is not None else list(drawn.values())
        self.watcher.reference_starts(place.name)

        def watch(record: Record) -> None:
            if isinstance(record, Header):
                self.watcher.reference_plans(len(record.planned))
            if isinstance(record, Trial):
                self.watcher.reference_trial()

        return cells.run(place, self.request, chosen, watch)

    def _all(self, place: Environment, reference: CellReport) -> dict[str, CellReport]:
        """Run every mutant, several in parallel; notify as they end, return their reports."""
        self.watcher.mutants_start(place.name, len(self.mutants))
        reports: dict[str, CellReport] = {}
        with ThreadPoolExecutor(self.request.workers) as pool, cells.StoppableEnvironment(place) as stoppable:
            futures = {pool.submit(self._one, stoppable, mutant, reference): mutant for mutant in self.mutants.values()}
            for future in as_completed(futures):
                mutant = futures[future]
                reports[mutant.name] = future.result()
                self.watcher.mutant_ends(self._examine(mutant, place.name, reference, reports[mutant.name]))
            for draw in range(2, DRAWS + 1):
                self._prove(stoppable, pool, reference, reports, draw)
        return reports

    def _examine_all(self, place: str, reference: CellReport, reports: Mapping[str, CellReport]) -> list[MutantFate]:
        return [self._examine(one, place, reference, reports[name]) for name, one in self.mutants.items()]

    def _prove(
        self, place: Environment, pool: Executor, reference: CellReport, reports: dict[str, CellReport], draw: int
    ) -> None:
        """Repeat the unproven scenarios on the mutants that name them; only kills count."""
        proofs = self._proofs(reference, self._examine_all(place.name, reference, reports))
        unproven = {one.name for one in proofs if one.standing is ProofState.UNPROVEN}
        futures = {}
        for name, mutant in self.mutants.items():
            if again := [one for one in fates.called(self.scenarios, *mutant.caught_by) if one.name in unproven]:
                futures[name] = pool.submit(self._run_mutant, place, mutant, again, draw)
        for name, future in futures.items():
            reports[name] = fates.later(reports[name], fates.kills_of(future.result()))

    def _one(self, place: Environment, mutant: Mutant, reference: CellReport) -> CellReport:
        self.watcher.mutant_starts(mutant.name)
        mutated = self._run_mutant(place, mutant, self.drawn(mutant), 1)
        for draw in range(2, DRAWS + 1):
            missed = self._examine(mutant, place.name, reference, mutated).missed
            if not missed:
                break
            again = fates.called(self.scenarios, *missed)
            mutated = fates.later(mutated, self._run_mutant(place, mutant, again, draw))
        return mutated

    def _examine(self, mutant: Mutant, place: str, reference: CellReport, mutated: CellReport) -> MutantFate:
        return fates.examine(mutant.name, place, mutant.caught_by, reference, mutated)

    def _run_mutant(self, place: Environment, mutant: Mutant, chosen: Sequence[Scenario], draw: int) -> CellReport:
        deadline = min(self.request.deadline or TRIAL_SECONDS, TRIAL_SECONDS)
        seed = self.request.seed + draw - 1
        request = replace(self.request, mutant=mutant.name, workers=0, deadline=deadline, seed=seed)
        limit = math.inf if self.full else OTHERS_SECONDS
        spent = 0.0

        def watch(record: Record) -> None:
            nonlocal spent
            if isinstance(record, Trial) and not any(
                is_meant(it, record.scenario, record.ids) for it in mutant.caught_by
            ):
                spent += record.seconds
                if spent > limit:  # the scenarios that it names came first
                    raise cells.Enough

        return cells.run(place, request, chosen, watch)
