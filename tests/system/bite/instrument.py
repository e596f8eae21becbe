"""Notes which statements of the reference run: each first stores a one in memory that all processes of a test share."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

from bite.import_hook import HITS, HITS_FILE, mapped, module_of, put

#: One byte for each line of each file; far more than there are.
_LINES = 4096


class Hits:
    """The lines of functions that ran, in this process and others."""

    def __init__(self, folder: Path, files: list[str]) -> None:
        self._files = files
        self._memory = mapped(folder / HITS_FILE)

    def clear(self) -> None:
        """Forget what ran."""
        self._memory[:] = bytes(len(self._memory))

    def read(self) -> dict[str, list[int]]:
        """Return the first lines of the statements that ran, by file."""
        found = {}
        for index, file in enumerate(self._files):
            part = self._memory[index * _LINES : (index + 1) * _LINES]
            if lines := [line for line, byte in enumerate(part) if byte]:
                found[file] = lines
        return found


def files_of(root: Path) -> list[str]:
    """Return the Python files of the reference."""
    return sorted(f"reference/{path.name}" for path in (root / "reference").glob("*.py") if path.stem != "__init__")


def prepare(root: Path, folder: Path) -> None:
    """Make a folder for the import hook from which the whole reference is imported instrumented."""
    files = files_of(root)
    (folder / HITS_FILE).write_bytes(bytes(_LINES * len(files)))
    for index, file in enumerate(files):
        put(folder, root / file, module_of(file), _noting((root / file).read_text(), index * _LINES))


def _noting(source: str, base: int) -> ast.Module:
    tree = ast.parse(source)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    noted: set[int] = set()
    for function in functions:
        for node in list(ast.walk(function)):
            _note_bodies(node, base, noted)
    return ast.fix_missing_locations(tree)


def _note_bodies(node: ast.AST, base: int, noted: set[int]) -> None:
    for name in ("body", "orelse", "finalbody"):
        body = getattr(node, name, None)
        if isinstance(body, list) and id(body) not in noted:
            made = [new for one in body for new in (_note(base + one.lineno, one), one)]
            setattr(node, name, made)
            noted.add(id(made))


def _note(index: int, beside: ast.stmt) -> ast.stmt:
    [made] = ast.parse(f"{HITS}[{index}] = 1").body
    for node in ast.walk(made):
        ast.copy_location(node, beside)
    return made


@functools.cache
def lines_of(path: Path) -> set[int]:
    """Return the first lines of the statements that are in functions, of a Python file."""
    if path.suffix != ".py":
        return set()
    functions = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))
    inside = (one for function in functions for one in ast.walk(function) if one is not function)
    return {one.lineno for one in inside if isinstance(one, ast.stmt)}
