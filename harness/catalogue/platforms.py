"""Platforms, found by entry point or by `package.module:Class`."""

from __future__ import annotations

from importlib import metadata
from typing import cast

from worldswitch.harness.catalogue.loading import NotFound, import_module
from worldswitch.harness.catalogue.mutants import MUTANT, load_mutant
from worldswitch.harness.contract import PlatformFactory

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
            f"no platform is called {name!r}: tried the entry points {PLATFORMS} (there are: "
            f"{', '.join(sorted(known)) or 'none'}); name one of them, or a package.module:Class, or mutant:NAME"
        )
    factory: object = import_module(module, f"platform {name!r}")
    for attribute in path.split("."):
        try:
            factory = getattr(factory, attribute)
        except AttributeError:
            raise NotFound(f"platform {name!r}: the module {module} has no {path}") from None
    if not callable(factory):
        raise NotFound(f"platform {name!r}: {target} is of type {type(factory).__name__}, expected a class or function")
    return cast(PlatformFactory, factory)
