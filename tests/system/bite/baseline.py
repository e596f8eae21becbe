"""What each scenario and test runs of the unchanged reference, and how long it takes; made once, and kept in a file."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

#: The share of scenarios from which on a line is common.
COMMON = 0.25


class Ran(msgspec.Struct, frozen=True):
    """One scenario or test on the unchanged reference."""

    seconds: float
    lines: dict[str, list[int]]  #: of functions, by file
    problem: str = ""  #: why it is not used: it did not pass


class Baseline(msgspec.Struct, frozen=True):
    """All of them, for one state of the checkout."""

    digest: str
    scenarios: dict[str, Ran]
    tests: dict[str, Ran]


def digest(root: Path, folders: Iterable[str], names: Iterable[str]) -> str:
    """Return a digest of these names, and of all Python, C and assembly in these folders."""
    made = hashlib.sha256("\0".join(names).encode())
    for path in sorted(path for folder in folders for path in (root / folder).rglob("*")):
        if path.suffix in (".py", ".c", ".h", ".s") and path.is_file() and path.name[0] != "_":
            made.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return made.hexdigest()


def kept(path: Path, now: str, make: Callable[[], Baseline]) -> Baseline:
    """Return what `path` has for the digest `now`; make and write it otherwise."""
    if path.exists():
        found = msgspec.json.decode(path.read_bytes(), type=Baseline)
        if found.digest == now:
            return found
    made = make()
    path.write_bytes(msgspec.json.encode(made))
    return made


def order(ran: dict[str, Ran], file: str, line: int, everywhere: bool) -> list[str]:
    """Return those that run the line, the cheap ones that run little else first.

    For a line that most of them run, or that runs whenever the file is imported, that says nothing: the cheapest of
    each file of scenarios or tests come first, then the next of each.
    """
    usable = {name: one for name, one in ran.items() if one.lines and not one.problem}
    chosen = [name for name, one in usable.items() if everywhere or line in one.lines.get(file, ())]

    def weight(name: str) -> float:
        return (0.05 + usable[name].seconds) * sum(map(len, usable[name].lines.values()))

    if len(chosen) <= len(usable) * COMMON:
        return sorted(chosen, key=weight)
    ranks: Counter[str] = Counter()
    placed: list[tuple[int, float, str]] = []
    for name in sorted(chosen, key=lambda name: usable[name].seconds):
        family = name.partition("::")[0]
        placed.append((ranks[family], usable[name].seconds, name))
        ranks[family] += 1
    return [name for _, _, name in sorted(placed)]
