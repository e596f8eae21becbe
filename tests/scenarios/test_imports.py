"""The scenarios' folders import one way: families import the stage and no family, the stage imports no family."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest
from paths import ROOT

from worldswitch.harness.catalogue import scenarios

TOP = ROOT / "scenarios"
PACKAGE = "worldswitch.scenarios"

#: For the modules of a folder, what of the scenarios they may import.
ALLOWED = {
    "platform": ("declare", "guests", "stage"),
    "kernel": ("declare_fact", "guests", "raw_ptrace"),
    "stage": ("guests", "stage"),
    "raw_ptrace": ("raw_ptrace", "stage.processes"),
    "guests": ("guests",),
}

MODULES = [path for folder in ALLOWED for path in sorted((TOP / folder).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    return {
        f"{node.module}.{name.name}".removeprefix(f"{PACKAGE}.")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(f"{PACKAGE}.")
        for name in node.names
    }


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(TOP)))
def test_a_module_imports_only_what_is_below_it(path: Path) -> None:
    allowed = ALLOWED[path.relative_to(TOP).parts[0]]
    assert [name for name in imported(path) if not any(f"{name}.".startswith(f"{one}.") for one in allowed)] == []


def test_the_names_of_scenarios_are_unique() -> None:
    modules = [path.stem for folder in scenarios.FAMILIES for path in (TOP / folder).glob("[!_]*.py")]
    assert [name for name, count in Counter(modules).items() if count > 1] == []
    assert len({one.name for one in scenarios.scenarios()}) == len(scenarios.scenarios())
