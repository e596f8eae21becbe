"""Imports go one way: rooms in order, the wall around what runs inside, no circle, and no folder that fills up."""

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

#: Modules on top of harness that every part may import.
WORDS = ("contract", "verdict", "flight", "errors", "cell_name", "ptrace_denial", "arch")
#: The folders of harness: each imports those before it only.
ROOMS = (
    *("words", "linux", "catalogue", "cell", "environments", "expectations", "results", "run", "report", "bench"),
    *("peers", "guest_kernel", "cli"),
)
#: What runs inside a container or guest, and the packages that are installed there.
INSIDE = ("harness.linux", "harness.catalogue", "harness.cell", "harness.environments.vm.guest")
INSTALLED_INSIDE = {"pytest", "_pytest", "xdist", "msgspec", "hypothesis", "cffi"}
MOST_MODULES = 20

Graph = Mapping[str, set[str]]


def module_of(path: Path, root: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def sources(root: Path) -> dict[str, ast.Module]:
    """The modules below a checkout: ``harness.cell.trial`` and what it consists of."""
    paths = (path for part in PARTS for path in (root / part).rglob("*.py"))
    return {module_of(path, root): ast.parse(path.read_text()) for path in paths}


def imported(tree: ast.Module) -> Iterator[str]:
    """Every name that a module imports, late and under TYPE_CHECKING included."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=module, names=names, level=0):
                yield from (f"{module}.{name.name}" for name in names)
            case ast.ImportFrom():
                yield "a relative import"


def graph(modules: Mapping[str, ast.Module]) -> dict[str, set[str]]:
    """Which modules each module imports, of these."""
    found: dict[str, set[str]] = {}
    for name, tree in modules.items():
        ours = (one.removeprefix("worldswitch.") for one in imported(tree) if one.startswith("worldswitch."))
        ends = {one if one in modules else one.rpartition(".")[0] for one in ours}
        found[name] = (ends & modules.keys()) - {name}
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
    return [one for one in found if len(one) > 1]


def room_of(module: str) -> str:
    part, _, rest = module.partition(".")
    top = rest.partition(".")[0]
    return part if part != "harness" else "words" if top in WORDS or not top else top


def upwards(edges: Graph) -> list[str]:
    """The imports that no room or part may make."""
    return [f"{one} imports {other}" for one in edges for other in edges[one] if not may_import(one, other)]


def may_import(one: str, other: str) -> bool:
    rooms = room_of(one), room_of(other)
    if all(room in ROOMS for room in rooms):
        return ROOMS.index(rooms[1]) <= ROOMS.index(rooms[0])
    return rooms[1] in ("words", rooms[0])


def is_inside(module: str) -> bool:
    return any(f"{module}.".startswith(f"{one}.") for one in INSIDE) or room_of(module) in (
        *("words", "reference", "scenarios"),
    )


def over_the_wall(modules: Mapping[str, ast.Module]) -> list[str]:
    """What runs inside and imports what is not there."""
    edges = graph(modules)
    ours = [f"{one} imports {other}" for one in edges if is_inside(one) for other in edges[one] if lacks(other)]
    theirs = [
        f"{one} imports {name}"
        for one, tree in modules.items()
        if is_inside(one)
        for name in imported(tree)
        if name.partition(".")[0] not in {"worldswitch", "__future__", *INSTALLED_INSIDE, *sys.stdlib_module_names}
    ]
    return ours + theirs


def lacks(module: str) -> bool:
    return not is_inside(module) and module not in ("harness.environments", "harness.environments.vm")


@pytest.fixture(scope="module")
def modules() -> dict[str, ast.Module]:
    return sources(ROOT)


def planted(modules: Mapping[str, ast.Module], module: str, line: str) -> dict[str, ast.Module]:
    """The same modules, one of which has this line too."""
    tree = ast.Module([*ast.parse(line).body, *modules[module].body], [])
    return {**modules, module: tree}


def test_no_module_imports_upwards(modules: dict[str, ast.Module]) -> None:
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
def test_an_import_upwards_is_caught(modules: dict[str, ast.Module], module: str, line: str) -> None:
    assert len(upwards(graph(planted(modules, module, line)))) == 1


def test_the_wall_holds(modules: dict[str, ast.Module]) -> None:
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
def test_a_breach_of_the_wall_is_caught(modules: dict[str, ast.Module], module: str, line: str) -> None:
    assert len(over_the_wall(planted(modules, module, line))) == 1


def test_there_is_no_circle(modules: dict[str, ast.Module]) -> None:
    assert circles(graph(modules)) == []


def test_a_circle_is_caught(modules: dict[str, ast.Module]) -> None:
    line = "if TYPE_CHECKING:\n    from worldswitch.harness.cell.trial import Result"
    assert any(
        "harness.cell.supervisor" in one for one in circles(graph(planted(modules, "harness.cell.supervisor", line)))
    )


def test_no_import_makes_a_second_copy_of_a_module(modules: dict[str, ast.Module]) -> None:
    """In a checkout, `import harness` would work too."""
    bare = {f"{name}: {one}" for name, tree in modules.items() for one in imported(tree) if one.split(".")[0] in PARTS}
    assert bare == set()
    assert not [name for name, tree in modules.items() if "a relative import" in imported(tree)]


def test_the_ground_plan_is_small() -> None:
    """A room is a folder, and has at most so many modules; beside the words there are at most 13."""
    harness = ROOT / "harness"
    top = {path.stem for path in harness.glob("*.py")} | {path.parent.name for path in harness.glob("*/__init__.py")}
    assert top - {"__init__", *WORDS} <= set(ROOMS)
    folders = Counter(path.parent for path in harness.rglob("*.py") if path.name != "__init__.py")
    assert {str(path): count for path, count in folders.items() if count > MOST_MODULES} == {}


def test_every_package_is_declared() -> None:
    """A folder that pyproject.toml does not list is not in the wheel."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    there = {module_of(path, ROOT) for part in PARTS for path in (ROOT / part).rglob("__init__.py")}
    assert {f"worldswitch.{name}" for name in there} == set(listed)
