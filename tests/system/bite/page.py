"""The page of the documentation about the changes that the suite notices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bite import listed
from bite.listed import Row

from worldswitch.harness.report.markdown_table import code, plain, table

_TEXT = """\
# Small changes of the reference

`nox -s bite` changes the reference in every small way: it leaves a statement, a lock or a `finally` out, forces a
condition, moves a boundary by one, swaps two arguments. On each change it runs the quick scenarios that run the
changed line, then the unit tests that do, until one fails twice. A change is *noticed* if one fails, does not end
(*timeout*) or ends the process that runs it (*crash*; also where the reference cannot be imported). A change that
none notices either stands in the list below with its reason, or is *open*: a claim that the suite does not make yet.

After a first look, a change is *undecided* if none of those that were run noticed it, which were not all.

The score is the share of the changes tried that are noticed; those that make no difference (*equivalent*) do not count.
"""

_KINDS = {
    "equivalent": "The platform behaves as before",
    "performance": "Only the cost changes",
    "elsewhere": "The difference shows on another kernel or processor",
    "open": "No claim yet",
}


def lines() -> Iterator[str]:
    """Yield the lines of the page, from the committed table and list."""
    yield from (_TEXT, "## By file", "")
    rows = listed.summary()
    head = ("file", "changes", "tried", "noticed", "timeout", "crash", "undecided", "explained", "open", "score")
    yield from table(head, [*map(_cells, rows), _cells(_total(rows))])
    for kind, title in _KINDS.items():
        entries = [one for one in listed.explained().values() if one["kind"] == kind]
        if entries:
            yield from ("", f"## {title}", "")
            yield from table(("place", "before", "after", "reason"), map(_entry, entries))


def _entry(entry: dict[str, str]) -> tuple[str, ...]:
    place = f"{entry['file']} {entry['function']}".rstrip()
    return code([place]), code([entry["before"]]), code([entry["after"]]), plain(entry["reason"])


def _total(rows: Iterable[Row]) -> Row:
    rows = list(rows)
    numbers = ("changes", "tried", "killed", "timeout", "crash", "undecided", "unlisted")
    sums = {name: sum(getattr(row, name) for row in rows) for name in numbers}
    kinds = {kind: sum(row.listed.get(kind, 0) for row in rows) for kind in listed.KINDS}
    return Row(file="all", listed=kinds, **sums)


def _cells(row: Row) -> tuple[str, ...]:
    noticed = row.killed + row.timeout + row.crash
    counted = row.tried - row.listed.get("equivalent", 0)
    unclaimed = row.unlisted + row.listed.get("open", 0)
    explained = sum(row.listed.values()) - row.listed.get("open", 0)
    score = f"{noticed / counted:.1%}" if counted else ""
    numbers = (row.changes, row.tried, noticed, row.timeout, row.crash, row.undecided, explained, unclaimed)
    return f"`{row.file}`", *map(str, numbers), score
