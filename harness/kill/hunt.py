"""Runs the mutants: `worldswitch mutants`.

In each environment the unmutated reference goes first, through all scenarios that any of the mutants will meet; then
each mutant in a cell of its own, several at a time, through the scenarios that it names and a random tenth of the
others, drawn for each mutant anew from a seed that is told.  Where a scenario that it names sees nothing wrong, or
breaks on it, that one is tried again with the next seeds, a bounded number of times, for some leave what they do to
chance.  What that shows of a mutant is decided in `worldswitch.harness.kill.autopsy`, what it shows of the scenarios
in `worldswitch.harness.kill.proof`.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from typing import Protocol

from worldswitch.harness import catalogue, reasons
from worldswitch.harness.catalogue import Mutant, Scenario, is_meant
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.collect import collect
from worldswitch.harness.environment import Cell, Environment, Missing
from worldswitch.harness.kill import autopsy, proof
from worldswitch.harness.kill import matrix as kill_matrix
from worldswitch.harness.kill.autopsy import Account, Autopsy
from worldswitch.harness.kill.matrix import Matrix, Place
from worldswitch.harness.kill.proof import Proof
from worldswitch.harness.request import CouldNotRun, Request
from worldswitch.harness.results import Header, Record, Trial

TENTH = 10  #: one in so many of the scenarios that a mutant does not name

#: How many seeds a scenario may take to catch a mutant that names it.
DRAWS = 5

#: On a mutant no trial takes longer than this, and what it does not name not longer than that altogether, in seconds:
#: some hang everywhere, and of those it is enough to see a few.
LONGEST, SPARED = 30.0, 30.0


class Watcher(Protocol):
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

    def mutant_ends(self, one: Autopsy) -> None:
        """Its fate is known."""


def mutants(names: Sequence[str]) -> Mapping[str, Mutant]:
    """The mutants called so, or all."""
    try:
        return {name: catalogue.load_mutant(name) for name in names} if names else catalogue.mutants()
    except catalogue.NotFound as problem:
        raise CouldNotRun(str(problem)) from problem


def scenarios() -> Sequence[Scenario]:
    """All scenarios."""
    try:
        return catalogue.scenarios()
    except catalogue.NotFound as problem:
        raise CouldNotRun(str(problem)) from problem


def unproven() -> Mapping[str, str]:
    """The scenarios that no mutant can be caught by, and why."""
    try:
        return reasons.load(catalogue.MUTANTS, proof.UNPROVEN)
    except catalogue.NotFound as problem:
        raise CouldNotRun(str(problem)) from problem


@dataclass(frozen=True)
class Hunt:
    """Mutants, and the scenarios that are to catch them."""

    request: Request
    mutants: Mapping[str, Mutant]
    scenarios: Sequence[Scenario]
    watcher: Watcher
    full: bool = False  #: put them to every scenario, not only to those they name and a tenth of the others
    unproven: Mapping[str, str] | None = None  #: None if there are not all mutants: what a scenario proves is open then

    def __post_init__(self) -> None:
        """Refuse what would show nothing: no mutant, or one that names no scenario there is."""
        if not self.mutants:
            raise CouldNotRun(f"there are no mutants: {catalogue.MUTANTS} lists none")
        for mutant in self.mutants.values():
            for name in mutant.caught_by or ("",):
                if not autopsy.called(self.scenarios, name):
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
        named = autopsy.called(self.scenarios, *mutant.caught_by)
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
            reference = Account({}, f"{place.reason}; {place.remedy}")
        else:
            reference = self._reference(place)
        if reference.problem or isinstance(place, Missing):
            autopsies = [self._examine(one, place.name, reference, reference) for one in self.mutants.values()]
        else:
            autopsies = self._all(place, reference)
        proofs = self._proofs(reference, autopsies)
        return kill_matrix.place(place.name, reference, self.mutants, self.scenarios, autopsies, proofs)

    def _proofs(self, reference: Account, autopsies: Sequence[Autopsy]) -> list[Proof]:
        if self.unproven is None or reference.problem:
            return []
        return proof.examine(self.scenarios, reference, autopsies, self.unproven)

    def _reference(self, place: Environment) -> Account:
        met = {one.name: one for mutant in self.mutants.values() for one in self.drawn(mutant)}
        every = self.unproven is not None
        chosen = list(self.scenarios) if every else list(met.values())
        self.watcher.reference_starts(place.name)
        return self._put_reference(place, chosen)

    def _all(self, place: Environment, reference: Account) -> list[Autopsy]:
        """Every mutant, several at a time; told as they end, and answered in their order."""
        self.watcher.mutants_start(place.name, len(self.mutants))
        found: dict[str, Autopsy] = {}
        with ThreadPoolExecutor(self.request.workers) as pool, _Ended(place) as ended:
            put = [pool.submit(self._one, ended, mutant, reference) for mutant in self.mutants.values()]
            for future in as_completed(put):
                one = future.result()
                found[one.mutant] = one
                self.watcher.mutant_ends(one)
        return [found[name] for name in self.mutants]

    def _one(self, place: Environment, mutant: Mutant, reference: Account) -> Autopsy:
        self.watcher.mutant_starts(mutant.name)
        mutated = self._put_mutant(place, mutant, self.drawn(mutant), 1)
        for draw in range(2, DRAWS + 1):
            missed = self._examine(mutant, place.name, reference, mutated).missed
            if not missed:
                break
            again = autopsy.called(self.scenarios, *missed)
            mutated = autopsy.later(mutated, self._put_mutant(place, mutant, again, draw))
        return self._examine(mutant, place.name, reference, mutated)

    def _examine(self, mutant: Mutant, place: str, reference: Account, mutated: Account) -> Autopsy:
        return autopsy.examine(mutant.name, place, mutant.caught_by, reference, mutated)

    def _put_reference(self, place: Environment, chosen: Sequence[Scenario]) -> Account:
        def watch(record: Record) -> None:
            if isinstance(record, Header):
                self.watcher.reference_plans(len(record.planned))
            if isinstance(record, Trial):
                self.watcher.reference_trial()

        return _put(place, self.request, chosen, watch)

    def _put_mutant(self, place: Environment, mutant: Mutant, chosen: Sequence[Scenario], draw: int) -> Account:
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
                    raise _Enough

        return _put(place, request, chosen, watch)


class _Enough(Exception):
    """A cell has told what it was started for."""


def _put(place: Environment, request: Request, chosen: Sequence[Scenario], watch: Callable[[Record], None]) -> Account:
    """What a cell says of these scenarios, in this order; `watch` is told each record."""
    begin = time.monotonic()
    request = replace(request, ids=tuple(one.name for one in chosen))
    records: list[Record] = []
    enough = False

    def take(record: Record) -> None:
        nonlocal enough
        records.append(record)
        try:
            watch(record)
        except _Enough:
            enough = True
            raise

    problem = collect(
        place, request.arguments(CellName(place.name), place.facts), request.silence(chosen, place.facts), take
    )
    return autopsy.account(records, request.mutant, None if enough else problem, time.monotonic() - begin)


@dataclass
class _Ended:
    """An environment whose cells end with this: an interrupted hunt waits for none of them."""

    _place: Environment
    _cells: list[Cell] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.name, self.facts, self.expectations = self._place.name, self._place.facts, self._place.expectations

    def start(self, arguments: Sequence[str]) -> Cell:
        if self._over.is_set():
            raise InterruptedError("the hunt is over")
        cell = self._place.start(arguments)
        with self._lock:
            self._cells.append(cell)
            if not self._over.is_set():
                return cell
        cell.kill()  # it was being started when the others were ended
        raise InterruptedError("the hunt is over")

    def __enter__(self) -> _Ended:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._over.set()
        for cell in self._cells:
            cell.kill()
