"""Makes text that a platform, a guest or a kernel wrote safe to print on a terminal and in a CI system's log.

A control character may move the cursor, set the clipboard or hide what follows; a bidirectional one may reorder the
line; a CI system obeys a line such as ``::add-mask::``.  Each such character is shown as an escape sequence of Python.
"""

from __future__ import annotations

import re
from typing import Any

#: Control, bidirectional and invisible characters but tab and newline, and what UTF-8 or XML cannot represent.
_ILLEGIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e0fff]"
)

#: The beginnings of a CI system's commands: `::` at the start of a line, `##[` anywhere.
_COMMAND = re.compile(r"^(\s*):(?=:)|#(?=#\[)", re.MULTILINE)


def legible(text: str) -> str:
    """Return `text`, which may have several lines, with what is not safe to print shown as escape sequences."""
    shown = _ILLEGIBLE.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), text)
    return _COMMAND.sub(lambda found: f"{found[1]}\\x3a" if found[1] is not None else "\\x23", shown)


def legibly(value: Any) -> Any:
    """Return plain values, as JSON has them, with every text legible."""
    match value:
        case str():
            return legible(value)
        case dict():
            return {key: legibly(item) for key, item in value.items()}
        case list() | tuple():
            return [legibly(item) for item in value]
    return value


def shortened(text: str, width: int) -> str:
    """Return `text` in at most `width` columns, without its middle: the ends of names differ most."""
    if len(text) <= width:
        return text
    left = max(width - 1, 0) // 2
    return text[:left] + "…" + text[len(text) - max(width - 1 - left, 0) :] if width > 0 else ""
