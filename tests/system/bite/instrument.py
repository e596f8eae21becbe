"""Notes which statements of the reference run: each first stores a one in memory that forked processes share."""

from __future__ import annotations

import ast
import mmap
from pathlib import Path

#: One byte for each line of each file; far more than there are.
_LINES, _FILES = 4096, 256

_NAME = "__bite_hits__"


class Hits:
    """The lines of functions that ran, in this process and its forks."""

    def __init__(self, root: Path, files: list[str]) -> None:
        self._root, self._files = root, files
        self._memory = mmap.mmap(-1, _LINES * _FILES)

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

    def tree(self, file: str) -> ast.Module:
        """Return the tree of a file that notes its lines."""
        tree = ast.parse((self._root / file).read_text())
        base = self._files.index(file) * _LINES
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.Lambda):
                _note_statements(node, base)
        return ast.fix_missing_locations(tree)

    @property
    def globals(self) -> dict[str, object]:
        """What the changed files need."""
        return {_NAME: self._memory}


def lines_of_functions(source: str) -> set[int]:
    """Return the first lines of the statements that are in functions."""
    functions = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef))
    return {one.lineno for function in functions for one in ast.walk(function) if _is_inside(one, function)}


def _is_inside(node: ast.AST, function: ast.FunctionDef) -> bool:
    return isinstance(node, ast.stmt) and node is not function


def _note_statements(function: ast.AST, base: int) -> None:
    for node in ast.walk(function):
        for name in ("body", "orelse", "finalbody"):
            body = getattr(node, name, None)
            if isinstance(body, list) and body and isinstance(body[0], ast.stmt) and not _is_noted(body[0]):
                setattr(node, name, [new for one in body for new in (_note(base + one.lineno, one), one)])


def _is_noted(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Assign) and _NAME in ast.unparse(statement.targets[0])


def _note(index: int, beside: ast.stmt) -> ast.stmt:
    [made] = ast.parse(f"{_NAME}[{index}] = 1").body
    for node in ast.walk(made):
        ast.copy_location(node, beside)
    return made
