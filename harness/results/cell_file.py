"""The file of one cell in a run's folder: JSON lines, read without trusting them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from worldswitch.harness.cell.records import FORMAT, Footer, Header, KernelLog, Record, Trial, tally
from worldswitch.harness.results.errors import Damaged


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """What one cell reported, as far as it came."""

    header: Header | None = None
    trials: tuple[Trial, ...] = ()
    footer: Footer | None = None
    kernel_log: KernelLog | None = None


_decode = msgspec.json.Decoder(Record).decode


def gather(records: Sequence[Record], source: str) -> Reached:
    """What `records` tell of, which need not be whole.  `source` says in errors where they are from."""
    if not records:
        return Reached()
    header = records[0]
    trials: dict[str, Trial] = {}
    if not isinstance(header, Header):
        raise Damaged(f"{source}:1: a {_kind(header)} where the header should be")
    if header.format != FORMAT:
        raise Damaged(f"{source}:1: format {header.format}, and this reader knows {FORMAT}")
    planned = set(header.planned)
    log: KernelLog | None = None
    for number, record in enumerate(records[1:], 2):
        if isinstance(record, Footer):
            _check_footer(record, tuple(trials.values()), len(records) - number, f"{source}:{number}")
            return Reached(header=header, trials=tuple(trials.values()), footer=record, kernel_log=log)
        if isinstance(record, Header):
            raise Damaged(f"{source}:{number}: a second header; two runs were written to one file")
        if isinstance(record, KernelLog):
            if log:
                raise Damaged(f"{source}:{number}: a second kernel log")
            log = record
            continue
        if record.scenario not in planned:
            raise Damaged(f"{source}:{number}: a verdict on {record.scenario!r}, which the header did not plan")
        if record.scenario in trials:
            raise Damaged(f"{source}:{number}: a second verdict on {record.scenario!r}")
        trials[record.scenario] = record
    return Reached(header=header, trials=tuple(trials.values()), kernel_log=log)


def _kind(record: Record) -> str:
    return type(record).__name__.lower()


def _check_footer(footer: Footer, trials: Sequence[Trial], after: int, where: str) -> None:
    if after:
        raise Damaged(f"{where}: the footer, but {after} more lines follow")
    if footer.counts != tally(trials):
        raise Damaged(f"{where}: the footer counts {footer.counts}, the lines above it say {tally(trials)}")


def read_reached(path: Path) -> Reached:
    """What the file at `path` has of a run that may have been cut off, even in the middle of its last line."""
    return gather(_records(lines(path), path), str(path))


def lines(path: Path) -> list[bytes]:
    """The lines of a file that is written line by line; a last one that was cut off is none."""
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
            raise Damaged(f"{path}:{number}: not a line of a result: {error}") from error
    return found
