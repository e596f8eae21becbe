"""Imports modules of the reference from a folder of compiled code instead: ``<folder>/worldswitch.reference.filter``.

The folder is in WORLDSWITCH_BITE, so that programs that a test starts import the same code: `site/sitecustomize.py`
installs the hook in them.  In the folder, an extension module has its full name too.
"""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import marshal
import mmap
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import CodeType, ModuleType

PACKAGE = "worldswitch.reference"
FOLDER = "WORLDSWITCH_BITE"

#: What instrumented code stores into, and the file in the folder with the memory.
HITS, HITS_FILE = "__bite_hits__", "hits"


def module_of(file: str) -> str:
    """Return the module of a file of the checkout: ``reference/filter.py`` is ``worldswitch.reference.filter``."""
    return f"worldswitch.{file.removesuffix('.py').replace('/', '.')}"


def put(folder: Path, file: Path, module: str, tree: ast.Module) -> None:
    """Have `module` run `tree` instead of its own file."""
    (folder / module).write_bytes(marshal.dumps(compile(tree, str(file), "exec")))


def install(folder: Path) -> None:
    """Import from `folder` here, and in the programs that this process starts.

    Raises `RuntimeError` if a module of it is already imported: it would stay unchanged.
    """
    if early := sorted(name for name in sys.modules if (folder / name).exists()):
        raise RuntimeError(f"already imported: {', '.join(early)}")
    os.environ[FOLDER] = str(folder)
    paths = [str(Path(__file__).parent / "site"), str(Path(__file__).parents[1])]
    os.environ["PYTHONPATH"] = os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH")])])
    install_here(folder)


def install_here(folder: Path) -> None:
    """Import from `folder` in this process."""
    sys.meta_path.insert(0, _Finder(folder))


class _Finder(MetaPathFinder):
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the spec of a module that the folder has."""
        there = self._folder / fullname
        if not fullname.startswith(f"{PACKAGE}.") or not there.exists():
            return None
        if there.read_bytes()[:4] == b"\x7fELF":
            made = importlib.machinery.ExtensionFileLoader(fullname, str(there))
            return importlib.util.spec_from_file_location(fullname, there, loader=made)
        others = (one.find_spec(fullname, path, target) for one in sys.meta_path if one is not self)
        spec = next(filter(None, others))
        assert spec.origin is not None
        spec.loader = _Loader(fullname, spec.origin, there)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, fullname: str, path: str, code: Path) -> None:
        super().__init__(fullname, path)
        self._code = code

    def get_code(self, fullname: str) -> CodeType:
        """Return the code from the folder."""
        code: CodeType = marshal.loads(self._code.read_bytes())
        return code

    def exec_module(self, module: ModuleType) -> None:
        """Run the code, with the memory for what runs if it is instrumented."""
        memory = self._code.parent / HITS_FILE
        if memory.exists():
            vars(module)[HITS] = mapped(memory)
        super().exec_module(module)


def mapped(path: Path) -> mmap.mmap:
    """Map a file, shared with all processes that do."""
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), 0)
