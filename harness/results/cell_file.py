"""Reads the file of one cell in a run's folder: JSON lines, each validated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from worldswitch.harness.cell.records import FORMAT, Footer, Header, KernelLog, Record, Trial, Word, tally
from worldswitch.harness.results.errors import Damaged


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """The records of one cell, up to where it ended."""

    header: Header | None = None
    trials: tuple[Trial, ...] = ()
    footer: Footer | None = None
    kernel_log: KernelLog | None = None


_decode = msgspec.json.Decoder(Record).decode


class CellStream:
    """The records of one cell so far; each is validated against those before it."""

    def __init__(self) -> None:
        self.header: Header | None = None
        self.kernel_log: KernelLog | None = None
        self.footer: Footer | None = None
        self.trials: dict[str, Trial] = {}
        self._planned: frozenset[str] = frozenset()

    def add(self, record: Word) -> None:
        """Add the next record.  Raises `Damaged`, and then has not added it."""
        self._check(record)
        match record:
            case Header():
                self.header, self._planned = record, frozenset(record.planned)
            case Trial():
                self.trials[record.scenario] = record
            case KernelLog():
                self.kernel_log = record
            case Footer():
                self.footer = record

    def _check(self, record: Word) -> None:
        if self.footer:
            raise Damaged("a record after the footer")
        match record:
            case Header() if self.header:
                raise Damaged("a second header")
            case Header(format=number) if number != FORMAT:
                raise Damaged(f"format {number}; this version reads format {FORMAT}")
            case Trial(scenario=name) if name not in self._planned:
                raise Damaged(f"a verdict on {name!r}, which no header planned")
            case Trial(scenario=name) if name in self.trials:
                raise Damaged(f"a second verdict on {name!r}")
            case KernelLog() if self.kernel_log:
                raise Damaged("a second kernel log")
            case Footer(counts=counts) if counts != (counted := tally(self.trials.values())):
                raise Damaged(f"the footer counts {counts}, but the trials before it are {counted}")


def gather(records: Sequence[Record], source: str) -> Reached:
    """Validate the records of a cell, which may be incomplete; errors begin with `source`.  Raises `Damaged`."""
    stream = CellStream()
    for number, record in enumerate(records, 1):
        try:
            if not (stream.header or isinstance(record, Header)):
                raise Damaged(f"expected the header, got a {type(record).__name__.lower()}")
            stream.add(record)
        except Damaged as problem:
            raise Damaged(f"{source}:{number}: {problem}") from None
    trials = tuple(stream.trials.values())
    return Reached(header=stream.header, trials=trials, footer=stream.footer, kernel_log=stream.kernel_log)


def read_reached(path: Path) -> Reached:
    """Read the file of a cell, whose last line may be incomplete.  Raises `Damaged`."""
    return gather(_records(lines(path), path), str(path))


def lines(path: Path) -> list[bytes]:
    """Return the complete lines of a file; an incomplete last one is dropped.  Raises `Damaged`."""
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise Damaged(f"{path}: cannot be read: {problem.strerror}") from problem
    return content[: content.rfind(b"\n") + 1].splitlines()


def _records(lines: Iterable[bytes], path: Path) -> list[Record]:
    found: list[Record] = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(_decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Damaged(f"{path}:{number}: not a record of a cell: {error}") from error
    return found
