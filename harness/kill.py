"""Runs the mutants: `worldswitch mutants`.

In each environment the unmutated reference goes first, through all scenarios that any of the mutants names; then each
mutant in a cell of its own, several at a time, through those it names, or through all of them to see what else it
fails.  What that shows is decided in `worldswitch.harness.autopsy`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from rich.console import Console
from rich.table import Table

from worldswitch.harness import autopsy, catalogue, report
from worldswitch.harness.autopsy import Account, Autopsy, Fate
from worldswitch.harness.catalogue import Mutant, Scenario
from worldswitch.harness.collect import collect
from worldswitch.harness.environment import Cell, Environment, Missing
from worldswitch.harness.outcome import Status
from worldswitch.harness.request import CouldNotRun, Request
from worldswitch.harness.results import Record

STYLES = {Fate.CAUGHT: "green", Fate.UNTESTED: "dim", Fate.SURVIVED: "bold red", Fate.ERROR: "bold magenta"}


def show(request: Request, names: Sequence[str], *, widely: bool) -> Status:
    """Run the mutants called `names`, or all; print what became of them."""
    out = report.console()
    hunt = Hunt(request, _mutants(names), catalogue.scenarios(), widely, out)
    autopsies = []
    for one in hunt.go():
        autopsies.append(one)
        _print(one, out)
    out.print(_table(autopsies))
    out.print(str(autopsy.tally(autopsies)))
    return autopsy.status(autopsies)


def _mutants(names: Sequence[str]) -> Mapping[str, Mutant]:
    try:
        return {name: catalogue.load_mutant(name) for name in names} if names else catalogue.mutants()
    except catalogue.NotFound as problem:
        raise CouldNotRun(str(problem)) from problem


def _print(one: Autopsy, out: Console) -> None:
    out.print(f"{one.fate.value:<9} {one.mutant} in {one.environment}", style=STYLES[one.fate])
    for finding in one.findings:
        if finding.fate is not Fate.CAUGHT:
            out.print(f"  {finding.name}: {finding.fate.value}: {finding.reason}")
    for scenario in one.undeclared:
        out.print(f"  fails too, and is not named: {scenario}")


def _table(autopsies: Sequence[Autopsy]) -> Table:
    table = Table("mutant", "environment", "fate", "by the assertions of", box=None)
    for one in autopsies:
        caught = " ".join(finding.name for finding in one.findings if finding.fate is Fate.CAUGHT)
        table.add_row(one.mutant, one.environment, one.fate.value, caught)
    return table


@dataclass(frozen=True)
class Hunt:
    """Mutants, and the scenarios that are to catch them."""

    request: Request
    mutants: Mapping[str, Mutant]
    scenarios: Sequence[Scenario]
    widely: bool  #: put them to every scenario, not only to those they name
    out: Console

    def __post_init__(self) -> None:
        """Refuse what would show nothing: no mutant, or one that names no scenario there is."""
        if not self.mutants:
            raise CouldNotRun(f"there are no mutants: {catalogue.MUTANTS} lists none")
        for mutant in self.mutants.values():
            for name in mutant.caught_by or ("",):
                if not autopsy.called(self.scenarios, name):
                    raise CouldNotRun(f"mutant {mutant.name}: caught by {name!r}, and no scenario is called that")

    def go(self) -> Iterator[Autopsy]:
        """Each mutant's autopsy in each environment."""
        with self.request.places(self._say) as plan:
            for place in plan:
                yield from self._here(place)

    def _say(self, line: str) -> None:
        self.out.print(f"{line} ...")

    def _here(self, place: Environment | Missing) -> Iterator[Autopsy]:
        if isinstance(place, Missing):
            impossible = Account({}, f"{place.reason}; {place.remedy}")
            yield from (_autopsy(mutant, place, impossible, impossible) for mutant in self.mutants.values())
            return
        self._say(f"{place.name}: the reference")
        named = [name for mutant in self.mutants.values() for name in mutant.caught_by]
        reference = self._put(place, "", named, self.request.workers)
        if reference.problem:
            yield from (_autopsy(mutant, place, reference, reference) for mutant in self.mutants.values())
            return
        with ThreadPoolExecutor(self.request.workers) as pool, _Ended(place) as ended:
            mutants = list(self.mutants.values())
            put = pool.map(lambda mutant: self._put(ended, mutant.name, mutant.caught_by, 0), mutants)
            yield from (
                _autopsy(mutant, place, reference, mutated) for mutant, mutated in zip(mutants, put, strict=True)
            )

    def _put(self, place: Environment, mutant: str, names: Iterable[str], workers: int) -> Account:
        """Put the reference, or a mutant of it, to the scenarios of these names."""
        called = self.scenarios if self.widely else autopsy.called(self.scenarios, *names)
        ids = () if self.widely else tuple(dict.fromkeys(scenario.ids[0] for scenario in called))
        request = replace(self.request, mutant=mutant, ids=ids, workers=workers)
        records: list[Record] = []
        arguments = request.arguments(place.name, place.facts)
        problem = collect(place, arguments, request.silence(called), records.append)
        return autopsy.account(records, mutant, problem)


def _autopsy(mutant: Mutant, place: Environment | Missing, reference: Account, mutated: Account) -> Autopsy:
    return autopsy.examine(mutant.name, place.name, mutant.caught_by, reference, mutated)


class _Ended:
    """An environment whose cells end with this: an interrupted hunt waits for none of them."""

    def __init__(self, place: Environment) -> None:
        self._place = place
        self.name, self.facts, self.expectations = place.name, place.facts, place.expectations
        self._cells: list[Cell] = []
        self._over = False

    def start(self, arguments: Sequence[str]) -> Cell:
        if self._over:
            raise InterruptedError("the hunt is over")
        self._cells.append(self._place.start(arguments))
        return self._cells[-1]

    def __enter__(self) -> _Ended:
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        for cell in self._cells:
            cell.kill()
