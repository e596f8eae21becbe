"""Who may import whom: the words import nothing, reference and scenarios never meet, the judge loads by name."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WORDS = ("harness.contract", "harness.arch", "harness.verdict", "harness.flight", "harness.ptrace_denial")

#: For the modules of a part, the parts of worldswitch they may import.
ALLOWED = {
    **dict.fromkeys(WORDS, WORDS),
    "reference": (*WORDS, "reference"),
    "scenarios": (*WORDS, "scenarios"),
    "harness": ("harness",),
    "containers": (),
    "results": (),
}

MODULES = sorted(path for part in ("reference", "scenarios", "harness", "containers", "results")
                 for path in (ROOT / part).rglob("*.py"))  # fmt: skip


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=names):
                found.update(name.name for name in names)
            case ast.ImportFrom(module=module, names=names, level=0):
                found.update(f"{module}.{name.name}" for name in names)
            case ast.ImportFrom():
                pytest.fail(f"{path} imports relatively; say worldswitch...")
    return found


def within(module: str, parts: tuple[str, ...]) -> bool:
    return any(f"{module}.".startswith(f"{part}.") for part in parts)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    own = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    part = next(part for part in ALLOWED if within(own, (part,)))
    ours = {name.removeprefix("worldswitch.") for name in imported(path) if name.startswith("worldswitch.")}
    assert {name for name in ours if not within(name, ALLOWED[part])} == set()
    bare = tuple(part for part in ALLOWED if "." not in part)
    assert {name for name in imported(path) if within(name, bare)} == set(), "a second copy of a module"


@pytest.mark.parametrize("path", [path for path in MODULES if within(path.parts[-2], ("harness", "arch"))])
def test_the_words_stand_on_the_standard_library(path: Path) -> None:
    own = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    if within(own, WORDS):
        import sys

        roots = {name.partition(".")[0] for name in imported(path)} - {"worldswitch"}
        assert roots <= sys.stdlib_module_names
