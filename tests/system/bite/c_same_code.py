"""Mutants for which the compiler makes the code of the original, or that of another mutant."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .c_mutations import CHECKOUT, CORE, Mutants, compiler, mutants, mutations
from .mutation import Mutation


def distinct(work: Path) -> list[Mutation]:
    """Return the mutations of the core with code of their own.  It takes a minute, the next time in `work` nothing."""
    found = mutants()
    texts = "".join(found.text(file) for file in sorted(found.sources))
    cache = work / f"same_code_{hashlib.sha256(texts.encode()).hexdigest()[:10]}.json"
    if not cache.exists():
        cache.write_text(json.dumps(same_code(found)))
    same = json.loads(cache.read_text())
    return [mutation for mutation in mutations() if str(mutation.number) not in same]


def same_code(found: Mutants, folder: Path = CHECKOUT / CORE) -> dict[int, int]:
    """Return for each such mutant the first one with its code; 0 is the original."""
    same = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for file in sorted({name for name, _ in found.changes.values()}):
            text = found.text(file)
            numbers = [0, *(number for number, (name, _) in found.changes.items() if name == file)]
            codes = pool.map(lambda number, text=text: _code(folder, text, number), numbers)
            same |= _doubles(zip(numbers, codes, strict=True))
    return same


def _doubles(codes: Iterable[tuple[int, str]]) -> dict[int, int]:
    first: dict[str, int] = {}
    return {number: first[code] for number, code in codes if first.setdefault(code, number) != number}


def _code(folder: Path, text: str, number: int) -> str:
    """Return a digest of the code of a file in which the compiler sees one mutant."""
    command = [*compiler(folder, "-O2", "-w", f"-DBITE={number}"), "-S", "-o", "-", "-xc", "-"]
    return hashlib.sha256(subprocess.check_output(command, input=text.encode())).hexdigest()
