"""Collection of scenarios by pytest: the marked functions in the modules of a package, imported by name.

pytest imports test files by path; in an editable install that would make a second copy of each module.
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
    """Return the folder of `package`; None if it cannot be imported."""
    try:
        spec = importlib.util.find_spec(package)
    except ImportError:
        return None
    folders = list(spec.submodule_search_locations or ()) if spec else []
    return Path(folders[0]).resolve() if folders else None


#: ``worldswitch.scenarios``, ``-p worldswitch...``, ``--worldswitch-results``, ``--scenarios``; not a path.
_NAMES_WORLDSWITCH = re.compile(r"(-p|--)?worldswitch([.=-]|$)|--scenarios\b")


def concerns(arguments: Iterable[str], package: str) -> bool:
    """True if a pytest command line names worldswitch or a path in the package of scenarios."""
    words = list(map(str, arguments))
    if any(map(_NAMES_WORLDSWITCH.match, words)):
        return True
    folder = folder_of(package)
    paths = [Path(word.partition("::")[0]) for word in words if not word.startswith("-")]
    return folder is not None and any(path.exists() and path.resolve().is_relative_to(folder) for path in paths)


class ScenarioModule(pytest.Module):
    """A module of scenarios."""

    package: str

    def _getobj(self) -> ModuleType:
        folder = self.path.parent.name
        package = f"{self.package}.{folder}" if folder in scenarios.FAMILIES else self.package
        return importlib.import_module(f"{package}.{self.path.stem}")

    def istestfunction(self, obj: object, name: str) -> bool:
        """Return true for marked functions: a scenario's name is a sentence without a prefix."""
        return scenarios.mark_of(obj) is not None and getattr(obj, "__module__", "") == self._getobj().__name__

    def istestclass(self, obj: object, name: str) -> bool:
        """Return false: scenarios are functions."""
        return False


def modules_of(names: Sequence[str]) -> tuple[str, ...]:
    """Return the modules of these names; a pattern for all if a name has none."""
    if not names or any("::" not in name for name in names):
        return ("*",)
    return tuple(dict.fromkeys(name.partition("::")[0] for name in names))


class Collection:
    """pytest's collection of `package`, limited to the modules in `names` if each has one.

    The other modules are not even imported, since that takes long on an emulated processor.
    """

    def __init__(self, package: str, folder: Path, names: Sequence[str] = ()) -> None:
        self.package = package
        self.folders = (folder, *(folder / name for name in scenarios.FAMILIES))
        self.modules = modules_of(names)
        pytest.register_assert_rewrite(package)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """Prevent pytest from importing the packages by path."""
        if path.resolve() not in self.folders:
            return None
        return pytest.Dir.from_parent(parent, path=path)

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """Collect the modules of the folders; pytest itself collects one named by path on the command line."""
        ours = file_path.resolve().parent in self.folders and file_path.suffix == ".py"
        if not ours or file_path.stem.startswith("_") or parent.session.isinitpath(file_path):
            return None
        selected = any(fnmatch.fnmatchcase(file_path.stem, pattern) for pattern in self.modules)
        return self._module(file_path, parent) if selected else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makemodule(self, module_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """Collect a module named by path on the command line."""
        return self._module(module_path, parent) if module_path.resolve().parent in self.folders else None

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Override the project's warning filters: scenarios may end threads by exceptions without a verdict."""
        if item.get_closest_marker("scenario") is not None:
            item.add_marker(pytest.mark.filterwarnings("default"))

    def _module(self, path: Path, parent: pytest.Collector) -> pytest.Collector:
        module: ScenarioModule = ScenarioModule.from_parent(parent, path=path)
        module.package = self.package
        return module


def scenarios_among(items: Iterable[pytest.Item]) -> Iterator[tuple[pytest.Item, scenarios.Scenario]]:
    """Return the items that are scenarios, each with its declaration."""
    for item in items:
        mark = item.get_closest_marker("scenario")
        if mark is not None and isinstance(item, pytest.Function):
            yield item, scenarios.declared(name_of(item.nodeid), item.function, mark)


def name_of(nodeid: str) -> str:
    """Return the scenario's name in `nodeid`: ``.../threads.py::sentence`` is ``threads::sentence``."""
    path, _, rest = nodeid.partition("::")
    return f"{Path(path).stem}::{rest}"
