"""Modules and their attributes, loaded by name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType


class NotFound(Exception):
    """Nothing is known by this name, or what is cannot be loaded; the message says what was tried and what to do."""


def import_module(module: str, what: str) -> ModuleType:
    """The module of this name; raises `NotFound`, which names `what` was loaded, whatever its import raises."""
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:  # whatever somebody's module raises at import
        raise NotFound(
            f"{what}: importing {module} said {type(error).__name__}: {error}; "
            "is it installed, or on PYTHONPATH, for this Python?"
        ) from error


def submodules(package: str) -> Iterator[ModuleType]:
    """The public modules of a package, in the order of their names; raises `NotFound`."""
    parent = import_module(package, "package")
    for module in sorted(pkgutil.iter_modules(getattr(parent, "__path__", [])), key=lambda module: module.name):
        if not module.ispkg and not module.name.startswith("_"):
            yield import_module(f"{package}.{module.name}", f"{package}")
