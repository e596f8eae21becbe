"""Gives chosen modules of the reference another syntax tree when they are imported."""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from types import CodeType, ModuleType

PACKAGE = "worldswitch.reference"


def module_of(file: str) -> str:
    """Return the module of a file of the checkout: ``reference/filter.py`` is ``worldswitch.reference.filter``."""
    return f"worldswitch.{file.removesuffix('.py').replace('/', '.')}"


class Loader(importlib.machinery.SourceFileLoader):
    """A loader that compiles a tree instead of the file."""

    tree: ast.Module
    more: Mapping[str, object]

    def get_code(self, fullname: str) -> CodeType:
        """Compile the tree; nothing of it is cached."""
        return compile(self.tree, self.path, "exec")

    def exec_module(self, module: ModuleType) -> None:
        """Run the code with the further globals."""
        vars(module).update(self.more)
        super().exec_module(module)


class Finder(importlib.abc.MetaPathFinder):
    """Finds the chosen modules; the others are found as ever."""

    def __init__(self, trees: Mapping[str, Callable[[], ast.Module]], more: Mapping[str, object]) -> None:
        self._trees, self._more = trees, more

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the spec of a chosen module, with the other loader."""
        if fullname not in self._trees:
            return None
        others = [one for one in sys.meta_path if one is not self]
        spec = next(filter(None, (one.find_spec(fullname, path, target) for one in others)), None)
        if spec is None or spec.origin is None:
            return spec
        loader = Loader(fullname, spec.origin)
        loader.tree, loader.more = self._trees[fullname](), self._more
        spec.loader = loader
        return spec


def install(trees: Mapping[str, Callable[[], ast.Module]], more: Mapping[str, object] | None = None) -> None:
    """Give the modules of these names these trees from now on.  Raises `RuntimeError` if one is already imported."""
    if early := sorted(name for name in trees if name in sys.modules):
        raise RuntimeError(f"already imported: {', '.join(early)}")
    sys.meta_path.insert(0, Finder(trees, more or {}))
