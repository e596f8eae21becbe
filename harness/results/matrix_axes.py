"""The row and the column of a cell in the matrix: kernels by profiles.

Both are in the environment's name: `host`, `docker:hardened`, `linux-6.12:hardened`.  The release of the host's kernel
is only in the cell's fingerprint.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from worldswitch.harness.cell_name import REFERENCE, CellName
from worldswitch.harness.linux.release import minor

HOST = "host"

#: The engines that start containers on this machine's kernel; a row does not name the first.
ENGINES = ("docker", "oci")

NO_PROFILE = ""  #: the column of cells without a container
NOWHERE = "no container"  #: its heading


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """A kernel, engine and platform."""

    kernel: str  #: `host`, `linux-6.12`
    engine: str = ""  #: `oci` for this machine's kernel under the second engine
    platform: str = REFERENCE

    def __str__(self) -> str:
        engine = f" ({self.engine})" if self.engine else ""
        return f"{self.kernel}{engine}" + ("" if self.platform == REFERENCE else f" / {self.platform}")


def place(cell: CellName) -> tuple[MatrixRow, str]:
    """Return the row of a cell, and its column: a profile or `NO_PROFILE`."""
    first, _, profile = cell.environment.partition(":")
    if first not in ENGINES:
        return MatrixRow(first, platform=cell.platform), profile
    engine = "" if first == ENGINES[0] else first
    return MatrixRow(HOST, engine, cell.platform), profile


def release(kernel: str) -> str:
    """Return the release in a fingerprint's `kernel`: `6.18.5` of `Linux 6.18.5 #1 SMP`."""
    words = kernel.split()
    return words[1] if len(words) > 1 else kernel


def rows(cells: Iterable[CellName]) -> list[MatrixRow]:
    """Return the rows of these cells: this machine's kernel first, then the oldest."""
    found = {place(cell)[0] for cell in cells}
    return sorted(found, key=lambda row: (row.kernel != HOST, minor(row.kernel), row.kernel, row.engine, _rank(row)))


def _rank(row: MatrixRow) -> tuple[bool, str]:
    return row.platform != REFERENCE, row.platform


def columns(cells: Iterable[CellName]) -> Sequence[str]:
    """Return the columns of these cells in the order of the run, that without a container first."""
    found = dict.fromkeys(place(cell)[1] for cell in cells)
    return sorted(found, key=lambda profile: profile != NO_PROFILE)
