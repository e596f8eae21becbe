"""Where a cell stands in the matrix: kernels down, profiles across.

An environment's name says both: `host`, `docker:hardened`, `linux-6.12:hardened`.  What it cannot say, which release
`host` is, the cell's fingerprint does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from worldswitch.harness.cell_name import REFERENCE, CellName
from worldswitch.harness.linux.release import minor

HOST = "host"

#: The engines that start containers on this machine's own kernel; the first needs no mention.
ENGINES = ("docker", "oci")

NO_PROFILE = ""  #: of a cell outside any container
NOWHERE = "no container"  #: what people call that


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """A kernel, with what distinguishes its cells beside the profile."""

    kernel: str  #: `host`, `linux-6.12`
    engine: str = ""  #: `oci`, for this machine's kernel under the second engine
    platform: str = REFERENCE

    def __str__(self) -> str:
        engine = f" ({self.engine})" if self.engine else ""
        return f"{self.kernel}{engine}" + ("" if self.platform == REFERENCE else f" / {self.platform}")


def place(cell: CellName) -> tuple[MatrixRow, str]:
    """The row of a cell, and its column, which is a profile's name or nothing."""
    first, _, profile = cell.environment.partition(":")
    if first not in ENGINES:
        return MatrixRow(first, platform=cell.platform), profile
    engine = "" if first == ENGINES[0] else first
    return MatrixRow(HOST, engine, cell.platform), profile


def release(kernel: str) -> str:
    """The release in a fingerprint's `kernel`: `6.18.5` of `Linux 6.18.5 #1 SMP`."""
    words = kernel.split()
    return words[1] if len(words) > 1 else kernel


def rows(cells: Iterable[CellName]) -> list[MatrixRow]:
    """The rows that these cells need: this machine's kernel first, then the oldest."""
    found = {place(cell)[0] for cell in cells}
    return sorted(found, key=lambda row: (row.kernel != HOST, minor(row.kernel), row.kernel, row.engine, _rank(row)))


def _rank(row: MatrixRow) -> tuple[bool, str]:
    return row.platform != REFERENCE, row.platform


def columns(cells: Iterable[CellName]) -> Sequence[str]:
    """The columns that these cells need, in the order of the run: first that without a container."""
    found = dict.fromkeys(place(cell)[1] for cell in cells)
    return sorted(found, key=lambda profile: profile != NO_PROFILE)
