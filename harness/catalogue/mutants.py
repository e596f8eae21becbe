"""Mutants: platforms with one known fault each, found by name."""

from __future__ import annotations

from typing import Protocol

from worldswitch.harness.catalogue.loading import NotFound, import_module, submodules
from worldswitch.harness.contract import PlatformFactory
from worldswitch.harness.nearest import hint

MUTANTS = "worldswitch.reference.mutants"

#: The prefix of a mutant's name among platform names.
MUTANT = "mutant:"


class Mutant(Protocol):
    """A platform with one fault."""

    @property
    def name(self) -> str:
        """Its name for ``--mutant``."""

    @property
    def about(self) -> str:
        """The fault."""

    @property
    def caught_by(self) -> tuple[str, ...]:
        """The scenarios that must catch it: ids, names ``module::function``, or patterns of either."""

    @property
    def origin(self) -> str:
        """The source of the fault: a clause, an issue or a commit."""

    @property
    def factory(self) -> PlatformFactory:
        """The platform."""

    @property
    def module(self) -> str:
        """The module that defines it."""


def mutants(package: str = MUTANTS) -> dict[str, Mutant]:
    """Return every mutant by name, in the order of modules, independent of earlier imports."""
    found: dict[str, Mutant] = {}
    for module in (import_module(package, "mutants"), *submodules(package)):
        found.update(getattr(module, "MUTANTS", {}))
    return dict(sorted(found.items(), key=lambda item: item[1].module))


def load_mutant(name: str, package: str = MUTANTS) -> Mutant:
    """Return the mutant called `name`; raises `NotFound`."""
    known = mutants(package)
    if name not in known:
        raise NotFound(
            f"no mutant is called {name!r} in {package}{hint(name, known)}; "
            f"`worldswitch list mutants` shows all {len(known)}"
        )
    return known[name]
