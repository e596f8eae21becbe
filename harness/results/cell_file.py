"""Reads the file of one cell in a run's folder: JSON lines, each validated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from worldswitch.harness import decoding
from worldswitch.harness.cell.records import FORMAT, Footer, Header, KernelLog, Record, Trial, Word, tally
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.linux import regular_file
from worldswitch.harness.results.errors import Damaged
from worldswitch.harness.results.manifest import MOST_BYTES


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """The records of one cell, up to where it ended."""

    header: Header | None = None
    trials: tuple[Trial, ...] = ()
    footer: Footer | None = None
    kernel_log: KernelLog | None = None
    is_cut: bool = False  #: True if the last line is incomplete, as a kill may leave it


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
            case Header(planned=planned) if repeated := twice(planned):
                raise Damaged(f"planned: {repeated!r} is there twice")
            case Trial(scenario=name) if name not in self._planned:
                raise Damaged(f"a verdict on {name!r}, which no header planned")
            case Trial(scenario=name) if name in self.trials:
                raise Damaged(f"a second verdict on {name!r}")
            case KernelLog() if self.kernel_log:
                raise Damaged("a second kernel log")
            case Footer(finished=finished) if self.header and finished < self.header.started:
                raise Damaged(f"finished: {finished:.3f} is before the header's `started`, {self.header.started:.3f}")
            case Footer(counts=counts) if counts != (counted := tally(self.trials.values())):
                raise Damaged(f"the footer counts {counts}, but the trials before it are {counted}")


def check_name(header: Header, cell: CellName, source: str = "") -> None:
    """Raise `Damaged`, with `source` first, if the header is another cell's."""
    environment = header.environment.get("name", cell.environment)
    pairs = (("environment.name", environment, cell.environment), ("platform", header.platform, cell.platform))
    for field, named, own in pairs:
        if named != own:
            raise Damaged(f"{source}{field}: {named!r}, but the cell's is {own!r}")


def twice(names: Iterable[str]) -> str | None:
    """Return the first name that is there twice."""
    seen: set[str] = set()
    return next((name for name in names if name in seen or seen.add(name)), None)  # type: ignore[func-returns-value]


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
    found, rest = _split(path)
    reached = gather(_records(found, path), str(path))
    if rest and reached.footer:
        raise Damaged(f"{path}:{len(found) + 1}: an incomplete line after the footer")
    return msgspec.structs.replace(reached, is_cut=bool(rest))


def lines(path: Path) -> list[bytes]:
    """Return the complete lines of a file, without an incomplete last one; empty if absent.  Raises `Damaged`."""
    return _split(path)[0]


def _split(path: Path) -> tuple[list[bytes], bytes]:
    """Return the complete lines, and the incomplete last one."""
    try:
        content = regular_file.read(path, MOST_BYTES)
    except FileNotFoundError:
        return [], b""
    except OSError as problem:
        raise Damaged(f"{path}: cannot be read: {problem.strerror}") from problem
    end = content.rfind(b"\n") + 1
    return content[:end].splitlines(), content[end:]


def _records(lines: Iterable[bytes], path: Path) -> list[Record]:
    found: list[Record] = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(decoding.from_json(line, Record))
        except msgspec.DecodeError as error:
            raise Damaged(f"{path}:{number}: not a record of a cell: {error}") from error
    return found
