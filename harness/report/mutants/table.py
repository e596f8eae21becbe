"""Prints the kill matrix on a terminal: the mutants, the families of scenarios, and what must be fixed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby

from rich.console import Console
from rich.table import Column, Table

from worldswitch.harness.run.mutants import matrix as kill_matrix
from worldswitch.harness.run.mutants.fates import Fate
from worldswitch.harness.run.mutants.matrix import Matrix, Place
from worldswitch.harness.run.mutants.proof import ProofState


def show(matrix: Matrix, out: Console) -> None:
    """Print the summary of a campaign, without its counts."""
    for place in matrix.places:
        out.print(_mutants(place))
        if place.scenarios:
            out.print(_families(place))
        for line in _wrong(place):
            out.print(line, style="bold red")
        if place.problem:
            out.print(f"\n{place.environment}: {place.problem}", style="bold magenta")
    out.print(f"\n{matrix.seconds:.0f} s; repeat with the same random choices: --seed {matrix.seed}")


def _mutants(place: Place) -> Table:
    by = Column("by the assertions of", overflow="fold")
    table = Table("mutant", "environment", "fate", "seeds", "seconds", by, box=None)
    for one in place.mutants:
        functions = (kill.scenario for kill in one.killed_by)
        seconds = f"{one.seconds:.1f}"
        table.add_row(one.name, place.environment, one.fate, str(one.draws), seconds, "\n".join(functions))
    return table


def _families(place: Place) -> Table:
    """The number of scenarios per family and state of proof."""
    occurring = [standing for standing in ProofState if any(one.standing == standing.value for one in place.scenarios)]
    table = Table("scenarios", "all", *(standing.value for standing in occurring), "kills", box=None)
    for family, members in groupby(place.scenarios, lambda one: one.name.partition("::")[0]):
        held = list(members)
        counts = Counter(one.standing for one in held)
        columns = (str(counts[standing.value] or "") for standing in occurring)
        table.add_row(family, str(len(held)), *columns, str(sum(len(one.mutants) for one in held)))
    return table


def _wrong(place: Place) -> Iterator[str]:
    for mutant in place.mutants if not place.problem else ():
        for it in mutant.unkept:
            if it.fate != Fate.UNTESTED.value:
                yield f"{it.fate:<9} {mutant.name} in {place.environment}: {it.name}: {it.reason}"
    for one in kill_matrix.wrong(place):
        yield f"{one.standing:<9} {one.name} in {place.environment}: {one.reason}"
