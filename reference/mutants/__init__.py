"""The reference with one fault each, to check that the scenarios find faults.

    @mutant(caught_by=("IN01",), origin="the seed's interrupt package, before its tests")
    class DropsEarlyInterrupts(PtracePlatform):
        \"\"\"Forgets an interrupt that comes before the switch.\"\"\"

A mutant is a platform like any other.  It names exactly the scenarios that must catch it, each by its own assertion.
The files are named after the scenario families.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from worldswitch.harness.contract import PlatformFactory

Factory = TypeVar("Factory", bound=PlatformFactory)


@dataclass(frozen=True, slots=True)
class Mutant:
    """The fault (`about`), where it really happened (`origin`), and the ids of the scenarios that must catch it."""

    name: str
    about: str
    origin: str
    caught_by: tuple[str, ...]
    factory: PlatformFactory
    module: str


#: All mutants by name; filled by importing the other modules of this package.
MUTANTS: dict[str, Mutant] = {}


def mutant(*, caught_by: tuple[str, ...], origin: str) -> Callable[[Factory], Factory]:
    """Register a platform class or factory as a mutant, under its name; its docstring describes the fault."""

    def enter(factory: Factory) -> Factory:
        name = getattr(factory, "__name__", repr(factory))
        if name in MUTANTS:
            raise ValueError(f"two mutants are called {name}")
        about = (factory.__doc__ or "").strip()
        MUTANTS[name] = Mutant(name, about, origin, caught_by, factory, factory.__module__)
        return factory

    return enter
