"""What there is to run, found by name: platforms, scenarios, mutants.

The judge imports none of them.  A platform is an entry point of the group ``worldswitch.platforms`` or a
``package.module:Class``; the scenarios are the marked functions of a package's modules; the mutants are what the
submodules of another package list under the name ``MUTANTS``.
"""

from __future__ import annotations

import fnmatch
import importlib.util
import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

from worldswitch.harness.catalogue.loading import submodules

if TYPE_CHECKING:
    import pytest

SCENARIOS = "worldswitch.scenarios"
#: The sub-packages that hold scenarios, in a package of scenarios that has any; no two modules may share a name.
FAMILIES = ("kernel", "platform")


#: The ids of scenarios in which chaos reigns.
CHAOS = "CH*"

#: How often a scenario repeats what it repeats.
REPEAT = ("quick", "normal", "soak")


# ------------------------------------------------------------------------------------------------------- platforms


# ------------------------------------------------------------------------------------------------------- scenarios


@dataclass(frozen=True, slots=True)
class Scenario:
    """How a scenario was declared."""

    name: str  #: ``module::sentence``
    ids: tuple[str, ...]
    claim: str
    clauses: tuple[str, ...]
    needs: tuple[str, ...]
    repeat: Mapping[str, int]
    deadline: float
    subject: str = "platform"  #: what the claim is about; "kernel" if no platform takes part
    alone: bool = False  #: whether nothing else may run meanwhile

    @property
    def family(self) -> str:
        """The module it stands in."""
        return self.name.partition("::")[0]

    def is_called(self, name: str) -> bool:
        """Whether `name` means it: an id, its own name, or a pattern of either."""
        return is_meant(name, self.name, self.ids)


def is_wanted(scenario: Scenario, names: Collection[str], *, chaos: bool) -> bool:
    """Whether a scenario is among those asked for: by its names, if any are, and by whether chaos may reign."""
    return (not names or any(map(scenario.is_called, names))) and (chaos or not scenario.is_called(CHAOS))


def is_meant(name: str, scenario: str, ids: Iterable[str]) -> bool:
    """Whether `name`, an id, a ``module::function`` or a pattern of either, means this scenario or trial of one."""
    return any(fnmatch.fnmatchcase(own, name) for own in (scenario, function_of(scenario), *ids))


def function_of(trial: str) -> str:
    """The scenario's name in that of a trial of it, which ends in its parameters."""
    return trial.partition("[")[0]


def declared(name: str, function: object, mark: pytest.Mark) -> Scenario:
    """The scenario that `mark` declares on `function`."""
    values = mark.kwargs
    return Scenario(
        name=name,
        ids=tuple(mark.args),
        claim=inspect.getdoc(function) or "",
        clauses=values.get("clauses", ()),
        needs=values.get("needs", ()),
        repeat=values.get("repeat", {}),
        deadline=values.get("deadline", 20.0),
        subject=values.get("subject", "platform"),
        alone=values.get("alone", False),
    )


def mark_of(function: object) -> pytest.Mark | None:
    """The scenario mark on `function`, if it has one."""
    if not inspect.isfunction(function):
        return None
    return next((mark for mark in getattr(function, "pytestmark", ()) if mark.name == "scenario"), None)


def scenarios(package: str = SCENARIOS) -> list[Scenario]:
    """Every scenario of `package`, by module and then in the order of the text."""
    return [scenario for scenario, _ in _declarations(package)]


def _declarations(package: str) -> Iterator[tuple[Scenario, object]]:
    for short, module in sorted((module.__name__.rpartition(".")[2], module) for module in _families(package)):
        for name, function in vars(module).items():
            mark = mark_of(function)
            if mark and function.__module__ == module.__name__:
                yield declared(f"{short}::{name}", function, mark), function


def _families(package: str) -> Iterator[ModuleType]:
    yield from submodules(package)
    for folder in FAMILIES:
        if importlib.util.find_spec(f"{package}.{folder}"):
            yield from submodules(f"{package}.{folder}")


@dataclass(frozen=True, slots=True)
class Fact:
    """A scenario about the kernel alone, and the experiment in it, which says what it sees."""

    scenario: Scenario
    observe: Callable[[], str]


def facts(package: str = SCENARIOS) -> list[Fact]:
    """Every scenario of `package` that can say what it observes."""
    found = ((scenario, getattr(function, "observe", None)) for scenario, function in _declarations(package))
    return [Fact(scenario, observe) for scenario, observe in found if observe is not None]


# --------------------------------------------------------------------------------------------------------- mutants
