"""Scenarios: the marked functions in the modules of a package, loaded by its name."""

from __future__ import annotations

import fnmatch
import importlib.util
import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

from worldswitch.harness.catalogue import variants
from worldswitch.harness.catalogue.loading import submodules

if TYPE_CHECKING:
    import pytest

SCENARIOS = "worldswitch.scenarios"
#: The optional sub-packages of a package of scenarios; module names must be unique across them.
FAMILIES = ("kernel", "platform")

#: The ids of the chaos scenarios.
CHAOS = "CH*"

#: The choices of the number of repetitions.
REPEAT = ("quick", "normal", "soak")


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario's declaration."""

    name: str  #: ``module::sentence``
    ids: tuple[str, ...]
    claim: str
    clauses: tuple[str, ...]
    needs: tuple[str, ...]
    repeat: Mapping[str, int]
    deadline: float  #: seconds, before scaling to the environment
    subject: str = "platform"  #: the subject of the claim; "kernel" if no platform takes part
    alone: bool = False  #: True if no other trial may run at the same time
    variants: tuple[str, ...] = ("",)  #: what each of its trials in a cell has after the name: ``[resident]``
    keywords: tuple[str, ...] = ()  #: what ``-k`` finds beside its name: folder, attributes, marks

    @property
    def trials(self) -> tuple[str, ...]:
        """The names of its trials in a cell: one for each set of parameters, its own name without any."""
        return tuple(f"{self.name}{variant}" for variant in self.variants)

    @property
    def family(self) -> str:
        """Its module."""
        return self.name.partition("::")[0]

    def is_called(self, name: str) -> bool:
        """True if `name` is one of its ids, its name, or a pattern of either."""
        return is_meant(name, self.name, self.ids)


def is_wanted(scenario: Scenario, names: Collection[str], *, chaos: bool) -> bool:
    """True if `names` is empty or selects the scenario, and `chaos` includes it."""
    return (not names or any(map(scenario.is_called, names))) and (chaos or not scenario.is_called(CHAOS))


def is_meant(name: str, scenario: str, ids: Iterable[str]) -> bool:
    """True if `name`, an id, a ``module::function`` or a pattern of either, matches this scenario or trial."""
    return any(fnmatch.fnmatchcase(own, name) for own in (scenario, function_of(scenario), *ids))


def function_of(trial: str) -> str:
    """The name of a trial's scenario: without the parameters."""
    return trial.partition("[")[0]


def is_about_the_kernel(trial: str) -> bool:
    """True if the trial's scenario makes a claim about the kernel alone: its module is one of the family `kernel`."""
    return trial.startswith("kernel_")


def declared(name: str, function: object, mark: pytest.Mark) -> Scenario:
    """Return the scenario that `mark` declares on `function`."""
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
    """Return the scenario mark on `function`; None without one."""
    if not inspect.isfunction(function):
        return None
    return next((mark for mark in getattr(function, "pytestmark", ()) if mark.name == "scenario"), None)


def scenarios(package: str = SCENARIOS) -> list[Scenario]:
    """Return every scenario of `package`, by module and then in source order; raises `NotFound`."""
    return [scenario for scenario, _ in _declarations(package)]


def _declarations(package: str) -> Iterator[tuple[Scenario, object]]:
    for short, module in sorted((module.__name__.rpartition(".")[2], module) for module in _families(package)):
        for name, function in vars(module).items():
            mark = mark_of(function)
            if mark and function.__module__ == module.__name__:
                found = declared(f"{short}::{name}", function, mark)
                yield replace(found, variants=variants.of(function), keywords=_keywords(function)), function


def _keywords(function: Any) -> tuple[str, ...]:
    """Return what pytest's ``-k`` knows of a function beside its name: its folder, attributes and marks."""
    folder = function.__module__.split(".")[-2]
    attributes = (name for name in vars(function) if name != "pytestmark")
    # The suite itself adds `filterwarnings` to each scenario.
    return (folder, *attributes, *(mark.name for mark in function.pytestmark), "filterwarnings")


def _families(package: str) -> Iterator[ModuleType]:
    yield from submodules(package)
    for folder in FAMILIES:
        if importlib.util.find_spec(f"{package}.{folder}"):
            yield from submodules(f"{package}.{folder}")


@dataclass(frozen=True, slots=True)
class Fact:
    """A scenario about the kernel alone, and its experiment, which returns its observation."""

    scenario: Scenario
    observe: Callable[[], str]


def facts(package: str = SCENARIOS) -> list[Fact]:
    """Return every scenario of `package` that has an experiment; raises `NotFound`."""
    found = ((scenario, getattr(function, "observe", None)) for scenario, function in _declarations(package))
    return [Fact(scenario, observe) for scenario, observe in found if observe is not None]
