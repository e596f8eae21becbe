"""Mutants: platforms with one known fault each, found by name."""

from __future__ import annotations

from typing import Protocol

from worldswitch.harness.catalogue.loading import NotFound, import_module, submodules
from worldswitch.harness.contract import PlatformFactory

MUTANTS = "worldswitch.reference.mutants"


#: Before the name of a mutant, where a platform's is asked for.
MUTANT = "mutant:"


class Mutant(Protocol):
    """A platform with one thing wrong."""

    @property
    def name(self) -> str:
        """What ``--mutant`` calls it."""

    @property
    def about(self) -> str:
        """What is wrong with it."""

    @property
    def caught_by(self) -> tuple[str, ...]:
        """The scenarios that must catch it: ids, names ``module::function``, or patterns of either."""

    @property
    def origin(self) -> str:
        """Where that really happened."""

    @property
    def factory(self) -> PlatformFactory:
        """The platform itself."""

    @property
    def module(self) -> str:
        """The module it is from."""


def mutants(package: str = MUTANTS) -> dict[str, Mutant]:
    """Every mutant by its name, file by file; whatever was imported before."""
    found: dict[str, Mutant] = {}
    for module in (import_module(package, "mutants"), *submodules(package)):
        found.update(getattr(module, "MUTANTS", {}))
    return dict(sorted(found.items(), key=lambda item: item[1].module))


def load_mutant(name: str, package: str = MUTANTS) -> Mutant:
    """The mutant called `name`."""
    known = mutants(package)
    if name not in known:
        raise NotFound(f"no mutant is called {name!r} in {package}; there are: {', '.join(sorted(known)) or 'none'}")
    return known[name]
