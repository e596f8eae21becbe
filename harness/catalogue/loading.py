"""Import modules by name, with one error for all failures."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType

from worldswitch.harness.errors import CouldNotRun


class NotFound(CouldNotRun):
    """Nothing has this name, or it cannot be loaded; the message says what was tried and what to do."""


def import_module(module: str, what: str) -> ModuleType:
    """Import a module; raises `NotFound`, with `what` was being loaded, if the import raises anything."""
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:  # a module may raise anything at import
        raise NotFound(
            f"{what}: importing {module} raised {type(error).__name__}: {_text(error)}; "
            "check that it is installed or on PYTHONPATH for this Python"
        ) from error


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # its class may be a platform's
        return "(its text cannot be made)"


def submodules(package: str) -> Iterator[ModuleType]:
    """Import the public modules of a package in the order of their names; raises `NotFound`."""
    parent = import_module(package, "package")
    for module in sorted(pkgutil.iter_modules(getattr(parent, "__path__", [])), key=lambda module: module.name):
        if not module.ispkg and not module.name.startswith("_"):
            yield import_module(f"{package}.{module.name}", f"{package}")
