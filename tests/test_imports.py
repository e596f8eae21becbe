"""Imports follow the order of the rooms, stay inside the wall and form no circle; no folder has too many modules."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from paths import ROOT

PARTS = ("harness", "reference", "scenarios", "containers", "results")

#: Modules at the top of harness, which every part may import.
WORDS = (
    *("contract", "verdict", "flight", "errors", "cell_name", "ptrace_denial", "nearest", "legible", "decoding"),
    "arch",
)
#: The folders of harness; each may import those before it and itself.
ROOMS = (
    *("words", "linux", "catalogue", "cell", "environments", "expectations", "results", "run", "report", "bench"),
    *("peers", "guest_kernel", "cli"),
)
#: The code that runs inside containers and guests, and the packages installed there.
INSIDE = ("harness.linux", "harness.catalogue", "harness.cell", "harness.environments.vm.guest")
INSTALLED_INSIDE = {"pytest", "_pytest", "xdist", "msgspec", "hypothesis", "cffi"}
MOST_MODULES = 20

RELATIVE = "a relative import"

#: The names that each module imports: ``harness.cell.trial`` to {"os", "worldswitch.harness.verdict.Verdict", ...}.
Imports = Mapping[str, frozenset[str]]
Graph = Mapping[str, set[str]]


def module_of(path: Path, root: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def sources(root: Path) -> dict[str, frozenset[str]]:
    """Return the imports of every module below a checkout."""
    paths = (path for part in PARTS for path in (root / part).rglob("*.py"))
    return {module_of(path, root): frozenset(imported(path.read_text())) for path in paths}


def imported(text: str) -> Iterator[str]:
    """Every name that a module's text imports, including late imports and those under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=module, names=names, level=0):
                yield from (f"{module}.{name.name}" for name in names)
            case ast.ImportFrom():
                yield RELATIVE


def graph(modules: Imports) -> dict[str, set[str]]:
    """Which of these modules each module imports."""
    found: dict[str, set[str]] = {}
    for module, names in modules.items():
        ours = (name.removeprefix("worldswitch.") for name in names if name.startswith("worldswitch."))
        ends = {name if name in modules else name.rpartition(".")[0] for name in ours}
        found[module] = (ends & modules.keys()) - {module}
    return found


def circles(edges: Graph) -> list[list[str]]:
    """The strongly connected components of more than one module (Tarjan)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(name: str) -> None:
        order[name] = low[name] = len(order)
        stack.append(name)
        for other in edges[name]:
            if other not in order:
                visit(other)
            if other in stack:
                low[name] = min(low[name], low[other])
        if low[name] == order[name]:
            at = stack.index(name)
            component, stack[at:] = stack[at:], []
            found.append(sorted(component))

    for name in edges:
        if name not in order:
            visit(name)
    return [component for component in found if len(component) > 1]


def room_of(module: str) -> str:
    part, _, rest = module.partition(".")
    top = rest.partition(".")[0]
    return part if part != "harness" else "words" if top in WORDS or not top else top


def upwards(edges: Graph) -> list[str]:
    """The imports against the order of the rooms and parts."""
    return [f"{module} imports {other}" for module in edges for other in edges[module] if not may_import(module, other)]


def may_import(module: str, other: str) -> bool:
    rooms = room_of(module), room_of(other)
    if all(room in ROOMS for room in rooms):
        return ROOMS.index(rooms[1]) <= ROOMS.index(rooms[0])
    return rooms[1] in ("words", rooms[0])


def is_inside(module: str) -> bool:
    return any(f"{module}.".startswith(f"{inside}.") for inside in INSIDE) or room_of(module) in (
        *("words", "reference", "scenarios"),
    )


def over_the_wall(modules: Imports) -> list[str]:
    """The imports by code that runs inside of modules that are not installed there."""
    edges = graph(modules)
    inside = [module for module in modules if is_inside(module)]
    ours = [f"{module} imports {other}" for module in inside for other in edges[module] if lacks(other)]
    known = {"worldswitch", "__future__", *INSTALLED_INSIDE, *sys.stdlib_module_names}
    theirs = [
        f"{module} imports {name}"
        for module in inside
        for name in modules[module]
        if name.partition(".")[0] not in known
    ]
    return ours + theirs


def lacks(module: str) -> bool:
    return not is_inside(module) and module not in ("harness.environments", "harness.environments.vm")


@pytest.fixture(scope="module")
def modules() -> Imports:
    return sources(ROOT)


def planted(modules: Imports, module: str, line: str) -> Imports:
    """The same modules, with one more line in `module`."""
    return {**modules, module: modules[module] | {*imported(line)}}


def test_no_module_imports_upwards(modules: Imports) -> None:
    assert upwards(graph(modules)) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("harness.results.reader", "from worldswitch.harness.run import runner"),
        ("harness.environments.host", "from worldswitch.harness.expectations.rules import of_profile"),
        ("reference.ptrace", "from worldswitch.harness.linux import syscalls"),
        ("harness.verdict", "from worldswitch.harness.linux import syscalls"),
        ("harness.run.runner", "if TYPE_CHECKING:\n    from worldswitch.harness.report import terminal"),
    ],
)
def test_an_import_upwards_is_caught(modules: Imports, module: str, line: str) -> None:
    assert len(upwards(graph(planted(modules, module, line)))) == 1


def test_the_wall_holds(modules: Imports) -> None:
    assert over_the_wall(modules) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("harness.cell.trial", "import docker"),
        ("harness.linux.processes", "from rich.console import Console"),
        ("harness.environments.vm.guest.mounts", "import filelock"),
        ("harness.catalogue.clauses", "def late():\n    import jinja2"),
        ("harness.environments.vm.guest.mounts", "from worldswitch.harness.environments.vm import qemu"),
    ],
)
def test_an_import_over_the_wall_is_caught(modules: Imports, module: str, line: str) -> None:
    assert len(over_the_wall(planted(modules, module, line))) == 1


def test_there_is_no_circle(modules: Imports) -> None:
    assert circles(graph(modules)) == []


def test_a_circle_is_caught(modules: Imports) -> None:
    line = "if TYPE_CHECKING:\n    from worldswitch.harness.cell.trial import Result"
    found = circles(graph(planted(modules, "harness.cell.supervisor", line)))
    assert any("harness.cell.supervisor" in component for component in found)


def test_no_import_makes_a_second_copy_of_a_module(modules: Imports) -> None:
    """In a checkout, `import harness` would work too."""
    bare = {f"{module}: {name}" for module, names in modules.items() for name in names if name.split(".")[0] in PARTS}
    assert bare == set()
    assert not [module for module, names in modules.items() if RELATIVE in names]


def test_no_folder_has_too_many_modules() -> None:
    """Harness consists of the words and the listed rooms, and each folder has at most `MOST_MODULES` modules."""
    harness = ROOT / "harness"
    top = {path.stem for path in harness.glob("*.py")} | {path.parent.name for path in harness.glob("*/__init__.py")}
    assert top - {"__init__", *WORDS} <= set(ROOMS)
    folders = Counter(path.parent for path in harness.rglob("*.py") if path.name != "__init__.py")
    assert {str(path): count for path, count in folders.items() if count > MOST_MODULES} == {}


def test_every_package_is_declared() -> None:
    """The wheel has only the folders that pyproject.toml lists."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    there = {module_of(path, ROOT) for part in PARTS for path in (ROOT / part).rglob("__init__.py")}
    assert {f"worldswitch.{name}" for name in there} == set(listed)
