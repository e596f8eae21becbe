"""Tables in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_ESCAPED = re.compile(r"[<_*\[\]]")


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """The lines of a table; a cell is one line, and means nothing but itself."""
    names = list(head)
    yield _row(names)
    yield _row("---" for _ in names)
    yield from (_row(map(cell, row)) for row in rows)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def cell(text: str) -> str:
    """`text` on one line, where a bar is no border."""
    return " ".join(text.split()).replace("|", "\\|")


def code(names: Iterable[str]) -> str:
    """Names, set as code."""
    return ", ".join(f"`{name}`" for name in names)


def plain(text: str) -> str:
    """`text` where angle brackets, underscores and asterisks stand for themselves; code in it stays code."""
    parts = text.split("`")
    return "`".join(part if number % 2 else _ESCAPED.sub(r"\\\g<0>", part) for number, part in enumerate(parts))
