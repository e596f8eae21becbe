"""Writes tables in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from worldswitch.harness.legible import legible

_ESCAPED = re.compile(r"[<&_*\[\]`\\]")

#: Code that every parser takes for code: one backtick at each end, nothing in it that a table or HTML may end.
_CODE = re.compile(r"(?<![`\\])(`[^`<|\\]+`)(?!`)")


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Yield the lines of a table; line breaks and bars in a cell are escaped."""
    names = list(map(cell, head))
    yield _row(names)
    yield _row("---" for _ in names)
    yield from (_row(map(cell, row)) for row in rows)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def cell(text: str) -> str:
    """Return `text` as one line with bars escaped, legibly."""
    return " ".join(legible(text).split()).replace("|", "\\|")


def code(names: Iterable[str]) -> str:
    """Return the names as code, separated by commas."""
    return ", ".join(plain(f"`{name}`") for name in names)


def plain(text: str) -> str:
    """Return `text` as one line with Markdown's special characters escaped outside of simple code, legibly."""
    parts = _CODE.split(" ".join(legible(text).split()))
    return "".join(part if number % 2 else _ESCAPED.sub(r"\\\g<0>", part) for number, part in enumerate(parts))
