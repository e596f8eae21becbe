"""The calls of each part of a recorded program, which marks where a part begins.

A mark is a getppid(2) with an argument that no program passes, after the part's name was appended to a file.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from pathlib import Path

from worldswitch.harness.environments.simulation import library, record
from worldswitch.harness.environments.simulation.call_numbers import AUDIT, NATIVE, NEWER
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.linux import syscalls

FILE = "WORLDSWITCH_PARTS"  #: the variable with the path of the names
MARK = 0x776F_726C_6473  #: the argument
FIRST = "before the first part"


def begin(name: str) -> None:
    """Mark that a part of this program begins, if it is recorded."""
    if path := os.environ.get(FILE):
        with Path(path).open("a") as file:
            file.write(f"{name}\n")
        syscalls.syscall(syscalls.GETPPID[platform.machine()], MARK)


@dataclass(slots=True)
class PartCalls:
    """Notes calls by part; `names` is the file that `begin` writes."""

    names: Path | None = None
    part: str = FIRST
    found: dict[str, dict[str, None]] = field(default_factory=dict)  #: keys in the order of their first call
    ranges: dict[str, list[list[int]]] = field(default_factory=dict)  #: lowest and highest value of each argument
    _known: dict[tuple[int, int], tuple[str, str]] = field(default_factory=dict)

    def note(self, tid: int, number: int, architecture: int, arguments: tuple[int, ...]) -> None:
        """Add a call."""
        if self.names and arguments[0] == MARK and number == syscalls.GETPPID[platform.machine()]:
            self.part = self.names.read_text().split("\n")[-2]
            self.found.setdefault(self.part, {})
            return
        name, prefix = self._known.setdefault((number, architecture), ("", ""))
        if not name:
            name, prefix = self._known[number, architecture] = _name(number, architecture)
        self.found.setdefault(self.part, {})[record.key(name, arguments, prefix)] = None
        for seen, one in zip(self.ranges.setdefault(name, [[1 << 64, -1] for _ in arguments]), arguments, strict=True):
            seen[:] = min(seen[0], one), max(seen[1], one)


def _name(number: int, architecture: int) -> tuple[str, str]:
    """Return a call's name and the prefix of its architecture."""
    native = NATIVE[platform.machine()]
    prefix, token = ("", native)
    if architecture != AUDIT[native]:
        prefix, token = next(((one, name) for one, name in record.ARCHITECTURES.items()), ("", native))
    newer = next((name for name, one in NEWER.items() if one == number), f"#{number}")
    return compiler().name(number, token) or newer, prefix


def compiler() -> library.Library:
    """Return libseccomp.  Raises `CouldNotRun`."""
    found = library.load()
    if not found:
        raise CouldNotRun("libseccomp is not installed, which compiles filters: apt-get install libseccomp2")
    return found
