"""Platforms, found by entry point or by `package.module:Class`."""

from __future__ import annotations

import inspect
from importlib import metadata
from typing import cast

from worldswitch.harness.catalogue.loading import NotFound, import_module
from worldswitch.harness.catalogue.mutants import MUTANT, load_mutant
from worldswitch.harness.contract import Options, Platform, PlatformError, PlatformFactory
from worldswitch.harness.nearest import hint

PLATFORMS = "worldswitch.platforms"


def platforms() -> dict[str, str]:
    """Return the installed platforms: name to ``package.module:Class``."""
    return {point.name: point.value for point in metadata.entry_points(group=PLATFORMS)}


def load_platform(name: str) -> PlatformFactory:
    """Return the platform called `name`, a ``package.module:Class`` or ``mutant:NAME``; raises `NotFound`."""
    if name.startswith(MUTANT):
        return load_mutant(name.removeprefix(MUTANT)).factory
    known = platforms()
    target = known.get(name, name)
    module, colon, path = target.partition(":")
    if not (module and colon and path):
        raise NotFound(
            f"no platform is called {name!r}{hint(name, known)}: tried the entry points {PLATFORMS} (there are: "
            f"{', '.join(sorted(known)) or 'none'}); name one of them, or a package.module:Class, or mutant:NAME"
        )
    factory: object = import_module(module, f"platform {name!r}")
    for attribute in path.split("."):
        try:
            factory = getattr(factory, attribute)
        except AttributeError:
            raise NotFound(
                f"platform {name!r}: the module {module} has no {path}{hint(attribute, dir(factory))}"
            ) from None
    if not callable(factory):
        raise NotFound(f"platform {name!r}: {target} is of type {type(factory).__name__}, expected a class or function")
    return cast(PlatformFactory, factory)


#: What a platform has.
MEMBERS = tuple(name for name in vars(Platform) if not name.startswith("_"))


def check(name: str, factory: PlatformFactory) -> None:
    """Raise `NotFound` if `factory` does not make platforms.

    It is called only where it does not show by itself: a function, or a class that may get its members when it is
    constructed.
    """
    problem = _unconstructible(factory)
    if not problem and (not inspect.isclass(factory) or _absent(factory)):
        problem = _made_wrong(factory)
    if problem:
        raise NotFound(
            f"platform {name!r} is no platform: {problem}; `worldswitch.harness.contract.Platform` is what it must be"
        )


def _unconstructible(factory: PlatformFactory) -> str:
    """Return why `factory` cannot be called with one argument; empty if it can."""
    if getattr(factory, "_is_protocol", False):
        return "it is a protocol, which has no instances"
    if missing := getattr(factory, "__abstractmethods__", None):
        return f"it is abstract, without {', '.join(sorted(missing))}"
    try:
        inspect.signature(factory).bind(Options())
    except TypeError as problem:
        return f"it cannot be constructed with one argument, `Options`: {problem}"
    except ValueError:  # a class in C may have no signature
        return ""
    return ""


def _absent(made: object) -> list[str]:
    return [name for name in MEMBERS if not hasattr(made, name)]


def _made_wrong(factory: PlatformFactory) -> str:
    """Return what an instance lacks; empty if nothing, or if this machine can have none."""
    try:
        made = factory(Options())
    except (PlatformError, OSError):
        return f"it has no {', '.join(_absent(factory))}" if inspect.isclass(factory) else ""
    except (Exception, SystemExit) as problem:  # the code may raise anything
        return f"calling it with `Options` raised {type(problem).__name__}: {problem}"
    missing = _absent(made)
    if not missing:
        made.close()
        return ""
    kind = "it has" if inspect.isclass(factory) else f"it returns an instance of {type(made).__name__}, which has"
    return f"{kind} no {', '.join(missing)}"
