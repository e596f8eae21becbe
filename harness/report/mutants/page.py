"""Renders the kill matrix as one HTML file that loads nothing else.

It has a map (a row per mutant, a column per scenario, a square for each trial that did not pass), a table per family of
scenarios, and a table of the mutants.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from itertools import groupby
from pathlib import Path

import jinja2
from markupsafe import Markup

from worldswitch.harness.catalogue.scenarios import function_of
from worldswitch.harness.run.mutants import matrix as kill_matrix
from worldswitch.harness.run.mutants.matrix import Failure, Matrix, Mutated, Place
from worldswitch.harness.run.mutants.proof import Proof, ProofState

TEMPLATE = "page.html.j2"
LOOK = "base.css"  #: styles of all pages

#: Class, sign and meaning of a mark.
SIGNS = (
    ("kill", "●", "killed: the mutant names the scenario, and fails its assertion"),
    ("also", "○", "fails its assertion, but the mutant does not name it"),
    ("else", "x", "a crash, a timeout or an error, which proves nothing"),
    ("pass", "·", "passes"),
)


@dataclass(frozen=True)
class Mark:
    """The result of one scenario on one mutant."""

    mutant: str
    scenario: str  #: the function's name
    kind: str  #: one of SIGNS
    reason: str = ""
    row: int = 0
    column: int = 0

    @property
    def sign(self) -> str:
        """The character that shows it."""
        return next(sign for kind, sign, _ in SIGNS if kind == self.kind)


@dataclass(frozen=True)
class Family:
    """The scenarios of one module, and the mutants that did not pass one of them."""

    name: str
    scenarios: Sequence[Proof]
    mutants: Sequence[Mutated]
    marks: dict[tuple[str, str], Mark]  #: by mutant and scenario


@dataclass(frozen=True)
class Sheet:
    """The page's content for one environment."""

    place: Place
    columns: Sequence[str]  #: the scenarios' names, by family
    marks: Sequence[Mark]  #: of the map, without passes
    families: Sequence[Family]
    wrong: Sequence[Proof]


def write(matrix: Matrix, path: Path) -> None:
    """Write the page to `path`."""
    path.write_text(page(matrix), encoding="utf-8")


def page(matrix: Matrix) -> str:
    """Return the page as HTML."""
    text = resources.files("worldswitch.harness.report.mutants").joinpath(TEMPLATE).read_text(encoding="utf-8")
    look = resources.files("worldswitch.harness.report.matrix").joinpath(LOOK).read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(text).render(
        matrix=matrix,
        look=Markup(look),
        started=datetime.fromtimestamp(matrix.started, UTC).strftime("%Y-%m-%d %H:%M UTC"),
        tally=kill_matrix.tally(matrix),
        sheets=[sheet(place) for place in matrix.places],
        signs=SIGNS,
    )


def sheet(place: Place) -> Sheet:
    """Return the content for `place`, without the scenarios about the kernel alone, which no mutant can fail."""
    met = sorted({mark.scenario for mark in _marks(place, {})})
    about = [one for one in place.scenarios if one.standing != ProofState.KERNEL]
    held = about if place.scenarios else [Proof(name, "") for name in met]
    columns = [one.name for one in held]
    marks = list(_marks(place, {name: number for number, name in enumerate(columns)}))
    families = [
        _family(name, list(members), place, marks)
        for name, members in groupby(held, lambda one: one.name.partition("::")[0])
    ]
    shown = [mark for mark in marks if mark.kind != "pass" and mark.scenario in columns]
    return Sheet(place, columns, shown, families, kill_matrix.wrong(place))


def _marks(place: Place, columns: dict[str, int]) -> Iterator[Mark]:
    for row, one in enumerate(place.mutants):
        for kind, failures in _kinds(one):
            for it in failures:
                reason = f"{it.verdict}: {it.reason}"
                name = function_of(it.scenario)
                yield Mark(one.name, name, kind, reason, row, columns.get(name, 0))
        for name in map(function_of, one.passed):
            yield Mark(one.name, name, "pass", "", row, columns.get(name, 0))


def _kinds(one: Mutated) -> Iterator[tuple[str, Iterable[Failure]]]:
    yield "kill", one.killed_by
    yield "also", [it for it in one.undeclared if it.assertion]
    yield "else", [it for it in one.undeclared if not it.assertion]


def _family(name: str, scenarios: Sequence[Proof], place: Place, marks: Iterable[Mark]) -> Family:
    names = {one.name for one in scenarios}
    own: dict[tuple[str, str], Mark] = {}
    for mark in marks:  # in the order of `_kinds`, so the first of a function's trials is the most significant
        if mark.scenario in names:
            own.setdefault((mark.mutant, mark.scenario), mark)
    bad = {mark.mutant for mark in own.values() if mark.kind != "pass"}
    return Family(name, scenarios, [one for one in place.mutants if one.name in bad], own)
