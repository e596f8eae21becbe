"""Mutations of the C core: one library has them all, and WORLDSWITCH_BITE_C chooses one by its number."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .c_operators import Change, parse
from .c_schema import CHOICE, numbers_near, render
from .mutation import Mutation

CHECKOUT = Path(__file__).resolve().parents[3]
CORE = Path("reference/core")

#: Errors of one change can hide those of another.
ROUNDS = 8
ERROR = re.compile(r"^\S+?:(\d+):\d+: (?:fatal )?error: ", re.MULTILINE)

#: What makes the extension module in a copy of reference/core; warnings about a mutant do not matter.
MAKE = """
import runpy
ffi = runpy.run_path("reference/core/build.py")["ffibuilder"]
print(ffi.compile(tmpdir=".", target="_core.abi3.so"))
"""


@dataclass(frozen=True)
class Mutants:
    """The changes of all files that compile, by their numbers from 1."""

    sources: Mapping[str, bytes]
    changes: Mapping[int, tuple[str, Change]]  # the file's name, and the change
    skipped: Counter[str]  # what cannot be changed at run time, and how often
    not_compiled: int

    def text(self, file: str) -> str:
        """Return a file with all of its changes."""
        return render(self.sources[file], _of(self.changes, file))


def _of(changes: Mapping[int, tuple[str, Change]], file: str) -> dict[int, Change]:
    return {number: change for number, (name, change) in changes.items() if name == file}


@functools.cache
def mutants(folder: Path = CHECKOUT / CORE) -> Mutants:
    """Return the mutants of the C files of a folder, and of the functions in its headers."""
    sources = {path.name: path.read_bytes() for path in sorted(folder.glob("*.[ch]"))}
    files = {name: parse(source) for name, source in sources.items()}
    found = [(name, change) for name, file in files.items() for change in file.changes]
    changes = dict(enumerate(found, 1))
    for name, file in files.items():
        if file.changes:
            for number in _wrong(folder, name, changes, file.source):
                del changes[number]
    skipped = sum((file.skipped for file in files.values()), Counter[str]())
    numbered = dict(enumerate(changes.values(), 1))
    return Mutants(sources, numbered, skipped, len(found) - len(numbered))


def _wrong(folder: Path, name: str, changes: Mapping[int, tuple[str, Change]], source: bytes) -> set[int]:
    """Return the changes of a file that do not compile."""
    good, wrong = _of(changes, name), set[int]()
    for _ in range(ROUNDS):
        text = render(source, good)
        errors = _errors(folder, text)
        if not errors:
            return wrong
        near = {number for line in errors for number in numbers_near(text, line)}
        wrong |= near
        good = {number: change for number, change in good.items() if number not in wrong}
    raise RuntimeError(f"{name}: after {ROUNDS} rounds the changed file still does not compile")


def compiler(folder: Path, *options: str) -> list[str]:
    """Return the command of the compiler, with the options that every C file of the core has."""
    include = sysconfig.get_path("include")
    return [os.environ.get("CC", "gcc"), "-std=gnu17", *options, f"-I{folder}", f"-I{include}", f"-Wa,-I,{folder}"]


def _errors(folder: Path, text: str) -> list[int]:
    """Return the lines that do not compile; a conversion that needs a cast is an error, as in the build."""
    command = [*compiler(folder, "-Werror", "-Wno-div-by-zero"), "-fsyntax-only", "-fmax-errors=0", "-xc", "-"]
    ended = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
    lines = [int(line) for line in ERROR.findall(ended.stderr)]
    if ended.returncode != 0 and not lines:
        raise RuntimeError(f"{' '.join(command)}: {ended.stderr}")
    return lines


def build(work: Path) -> Path:
    """Build the extension module with all mutants below `work`, and return its file."""
    core = work / CORE
    shutil.rmtree(core, ignore_errors=True)
    shutil.copytree(CHECKOUT / CORE, core)
    found = mutants()
    for name in {file for file, _ in found.changes.values()}:
        (core / name).write_text(found.text(name))
    with (core / "host.c").open("a") as file:
        file.write(CHOICE)
    environment = os.environ | {"CFLAGS": "-w"}
    printed = subprocess.check_output([sys.executable, "-c", MAKE], cwd=work, text=True, env=environment)
    return Path(work, printed.splitlines()[-1])


def mutations() -> list[Mutation]:
    """Return what each mutant changes, in the order of the numbers."""
    found, seen = mutants(), Counter[tuple[str, ...]]()
    listed = []
    for number, (file, change) in found.changes.items():
        before, after = _lines(found.sources[file], change)
        words = (str(CORE / file), change.function, change.operator, before, after)
        line = found.sources[file].count(b"\n", 0, change.start) + 1
        listed.append(Mutation(*words, seen[words], line, number))
        seen[words] += 1
    return listed


def _lines(source: bytes, change: Change) -> tuple[str, str]:
    """Return the lines of a change before and after it, without comments."""
    start = source.rfind(b"\n", 0, change.start) + 1
    end = source.find(b"\n", change.end)
    left, right = source[start : change.start].decode(), source[change.end : end].decode()
    return _words(left + source[change.start : change.end].decode() + right), _words(left + change.text + right)


def _words(text: str) -> str:
    return " ".join(re.sub(r"//.*", "", text).split())
