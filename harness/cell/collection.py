"""How pytest finds scenarios: modules of one package, imported by their names, and in them whatever carries the mark.

Imported by path, as pytest does with test files, the modules of an editable install would exist twice.
"""

from __future__ import annotations

import fnmatch
import importlib
import importlib.util
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

import pytest

from worldswitch.harness.catalogue import scenarios


def folder_of(package: str) -> Path | None:
    """Where `package` lies, or None if there is none."""
    try:
        spec = importlib.util.find_spec(package)
    except ImportError:
        return None
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]).resolve() if places else None


#: ``worldswitch.scenarios``, ``-p worldswitch...``, ``--worldswitch-results``, ``--scenarios``; no mere path.
_SPEAKS_OF_US = re.compile(r"(-p|--)?worldswitch([.=-]|$)|--scenarios\b")


def concerns(arguments: Iterable[str], package: str) -> bool:
    """Whether a pytest command line speaks of scenarios: by the word, or by a path to them."""
    words = list(map(str, arguments))
    if any(map(_SPEAKS_OF_US.match, words)):
        return True
    folder = folder_of(package)
    paths = [Path(word.partition("::")[0]) for word in words if not word.startswith("-")]
    return folder is not None and any(path.exists() and path.resolve().is_relative_to(folder) for path in paths)


class ScenarioModule(pytest.Module):
    """A module of the scenarios."""

    package: str

    def _getobj(self) -> ModuleType:
        folder = self.path.parent.name
        package = f"{self.package}.{folder}" if folder in scenarios.FAMILIES else self.package
        return importlib.import_module(f"{package}.{self.path.stem}")

    def istestfunction(self, obj: object, name: str) -> bool:
        """A scenario's name is a sentence, so the mark decides."""
        return scenarios.mark_of(obj) is not None and getattr(obj, "__module__", "") == self._getobj().__name__

    def istestclass(self, obj: object, name: str) -> bool:
        """Scenarios are functions."""
        return False


def modules_of(names: Sequence[str]) -> tuple[str, ...]:
    """Patterns of the modules that have the scenarios of these names; of every module if one does not say."""
    if not names or any("::" not in name for name in names):
        return ("*",)
    return tuple(dict.fromkeys(name.partition("::")[0] for name in names))


class Collection:
    """pytest's collection of `package`: of the modules that have the scenarios of these names, if they say so.

    A module that nobody asked for is not even imported, which an emulated processor takes long for.
    """

    def __init__(self, package: str, folder: Path, names: Sequence[str] = ()) -> None:
        self.package = package
        self.folders = (folder, *(folder / name for name in scenarios.FAMILIES))
        self.modules = modules_of(names)
        pytest.register_assert_rewrite(package)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """Keep pytest from importing the packages by their paths."""
        if path.resolve() not in self.folders:
            return None
        return pytest.Dir.from_parent(parent, path=path)

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """Take every module of the folders; one that was asked for by its path, pytest takes."""
        ours = file_path.resolve().parent in self.folders and file_path.suffix == ".py"
        if not ours or file_path.stem.startswith("_") or parent.session.isinitpath(file_path):
            return None
        asked_for = any(fnmatch.fnmatchcase(file_path.stem, pattern) for pattern in self.modules)
        return self._module(file_path, parent) if asked_for else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makemodule(self, module_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """The same for a module that pytest itself was given by path."""
        return self._module(module_path, parent) if module_path.resolve().parent in self.folders else None

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Have no project's own settings on warnings decide a verdict: scenarios end threads roughly."""
        if item.get_closest_marker("scenario") is not None:
            item.add_marker(pytest.mark.filterwarnings("default"))

    def _module(self, path: Path, parent: pytest.Collector) -> pytest.Collector:
        module: ScenarioModule = ScenarioModule.from_parent(parent, path=path)
        module.package = self.package
        return module


def scenarios_among(items: Iterable[pytest.Item]) -> Iterator[tuple[pytest.Item, scenarios.Scenario]]:
    """The items that are scenarios, each with its declaration."""
    for item in items:
        mark = item.get_closest_marker("scenario")
        if mark is not None and isinstance(item, pytest.Function):
            yield item, scenarios.declared(name_of(item.nodeid), item.function, mark)


def name_of(nodeid: str) -> str:
    """The scenario's name in `nodeid`: ``.../threads.py::sentence`` is ``threads::sentence``."""
    path, _, rest = nodeid.partition("::")
    return f"{Path(path).stem}::{rest}"
