"""What there is to run, found by name: platforms, scenarios, mutants.

The judge imports none of them.  A platform is an entry point of the group ``worldswitch.platforms`` or a
``package.module:Class``; the scenarios are the marked functions of a package's modules; the mutants are what the
submodules of another package list under the name ``MUTANTS``.
"""

from __future__ import annotations

import fnmatch
import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from types import ModuleType
from typing import TYPE_CHECKING, Protocol, cast

from worldswitch.harness.contract import PlatformFactory

if TYPE_CHECKING:
    import pytest

PLATFORMS = "worldswitch.platforms"
SCENARIOS = "worldswitch.scenarios"
#: The sub-packages that hold scenarios, in a package of scenarios that has any; no two modules may share a name.
FAMILIES = ("kernel", "platform")
MUTANTS = "worldswitch.reference.mutants"

#: Before the name of a mutant, where a platform's is asked for.
MUTANT = "mutant:"

#: The ids of scenarios in which chaos reigns.
CHAOS = "CH*"

#: How often a scenario repeats what it repeats.
REPEAT = ("quick", "normal", "soak")


class NotFound(Exception):
    """Nothing is known by this name, or what is cannot be loaded; the message says what was tried and what to do."""


# ------------------------------------------------------------------------------------------------------- platforms


def platforms() -> dict[str, str]:
    """The installed platforms: name to ``package.module:Class``."""
    return {point.name: point.value for point in metadata.entry_points(group=PLATFORMS)}


def load_platform(name: str) -> PlatformFactory:
    """The platform called `name`, or standing at ``package.module:Class``, or ``mutant:`` and a mutant's name."""
    if name.startswith(MUTANT):
        return load_mutant(name.removeprefix(MUTANT)).factory
    known = platforms()
    place = known.get(name, name)
    module, colon, path = place.partition(":")
    if not (module and colon and path):
        raise NotFound(
            f"no platform is called {name!r}: tried the entry points {PLATFORMS} (there are: "
            f"{', '.join(sorted(known)) or 'none'}); name one of them, or a package.module:Class, or mutant:NAME"
        )
    factory: object = _import(module, f"platform {name!r}")
    for attribute in path.split("."):
        try:
            factory = getattr(factory, attribute)
        except AttributeError:
            raise NotFound(f"platform {name!r}: the module {module} has no {path}") from None
    if not callable(factory):
        raise NotFound(f"platform {name!r}: {place} is no class or function but {type(factory).__name__}")
    return cast(PlatformFactory, factory)


def _import(module: str, what: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:  # whatever somebody's module raises at import
        raise NotFound(
            f"{what}: importing {module} said {type(error).__name__}: {error}; "
            "is it installed, or on PYTHONPATH, for this Python?"
        ) from error


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
    yield from _submodules(package)
    for folder in FAMILIES:
        if importlib.util.find_spec(f"{package}.{folder}"):
            yield from _submodules(f"{package}.{folder}")


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
    for module in (_import(package, "mutants"), *_submodules(package)):
        found.update(getattr(module, "MUTANTS", {}))
    return dict(sorted(found.items(), key=lambda item: item[1].module))


def load_mutant(name: str, package: str = MUTANTS) -> Mutant:
    """The mutant called `name`."""
    known = mutants(package)
    if name not in known:
        raise NotFound(f"no mutant is called {name!r} in {package}; there are: {', '.join(sorted(known)) or 'none'}")
    return known[name]


def _submodules(package: str) -> Iterator[ModuleType]:
    parent = _import(package, "package")
    for module in sorted(pkgutil.iter_modules(getattr(parent, "__path__", [])), key=lambda module: module.name):
        if not module.ispkg and not module.name.startswith("_"):
            yield _import(f"{package}.{module.name}", f"{package}")
