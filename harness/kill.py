"""Runs the mutants: `worldswitch mutants`.

In each environment the unmutated reference goes first, through all scenarios that any of the mutants names; then each
mutant in a cell of its own, through those it names, or through all of them to see what else it fails.  What that shows
is decided in `worldswitch.harness.autopsy`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from rich.console import Console
from rich.table import Table

from worldswitch.harness import autopsy, catalogue, report
from worldswitch.harness.autopsy import Account, Autopsy, Fate
from worldswitch.harness.catalogue import Mutant, Scenario
from worldswitch.harness.collect import collect
from worldswitch.harness.environment import Environment, Missing
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
                named = [name for mutant in self.mutants.values() for name in mutant.caught_by]
                self._say(f"{place.name}: the reference")
                reference = self._put(place, "", named)
                for mutant in self.mutants.values():
                    mutated = self._put(place, mutant.name, mutant.caught_by) if not reference.problem else reference
                    yield autopsy.examine(mutant.name, place.name, mutant.caught_by, reference, mutated)

    def _say(self, line: str) -> None:
        self.out.print(f"{line} ...")

    def _put(self, place: Environment | Missing, mutant: str, names: Iterable[str]) -> Account:
        """Put the reference, or a mutant of it, to the scenarios of these names."""
        if isinstance(place, Missing):
            return Account({}, f"{place.reason}; {place.remedy}")
        called = self.scenarios if self.widely else autopsy.called(self.scenarios, *names)
        ids = () if self.widely else tuple(dict.fromkeys(scenario.ids[0] for scenario in called))
        request = replace(self.request, mutant=mutant, ids=ids, workers=min(self.request.workers, len(called)))
        records: list[Record] = []
        arguments = request.arguments(place.name, place.facts)
        problem = collect(place, arguments, request.silence(called), records.append)
        return autopsy.account(records, mutant, problem)
