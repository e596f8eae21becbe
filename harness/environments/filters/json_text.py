"""Decodes JSON as the engines' Go decoder does: UTF-8 without a mark, no NaN, the last of equal keys."""

from __future__ import annotations

import json
from typing import Any

from worldswitch.harness.environments.filters.findings import Place

#: The first bytes of a file that an editor saved in another encoding.
_MARKS = (
    (b"\xef\xbb\xbf", "it begins with a byte order mark (BOM), which engines refuse; save it as UTF-8 without BOM"),
    (b"\xff\xfe", "it is UTF-16, which engines refuse; save it as UTF-8"),
    (b"\xfe\xff", "it is UTF-16, which engines refuse; save it as UTF-8"),
)


def decode_utf8(content: bytes, place: Place) -> str | None:
    """Return the text; None after an error."""
    for mark, problem in _MARKS:
        if content.startswith(mark):
            place.error(problem)
            return None
    try:
        return content.decode()
    except UnicodeDecodeError as problem:
        line = content.count(b"\n", 0, problem.start) + 1
        place.warning(f"line {line} is not UTF-8: engines read such bytes as U+FFFD")
        return content.decode(errors="replace")


def decode(text: str, place: Place) -> Any:
    """Return the value of a JSON text; `...` after an error."""
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _last(pairs, place), parse_constant=_no_constant)
    except json.JSONDecodeError as problem:
        place.error(f"line {problem.lineno}: not JSON: {problem.msg}{_advice(text, problem)}")
    except RecursionError:
        place.error("not a filter: its objects and lists are nested too deeply")
    except ValueError as problem:  # NaN, or an integer of thousands of digits
        place.error(f"not JSON: {problem}")
    return ...


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON number")


def _last(pairs: list[tuple[str, Any]], place: Place) -> dict[str, Any]:
    found: dict[str, Any] = {}
    spelled: dict[str, str] = {}
    for name, value in pairs:
        if before := spelled.get(name.casefold()):
            place.into(name).warning("is in one object twice, and engines use the last")
            del found[before]  # engines also ignore the case of keys
        spelled[name.casefold()] = name
        found[name] = value
    return found


def _advice(text: str, problem: json.JSONDecodeError) -> str:
    if not text.strip():
        return "; the file is empty"
    if text[: problem.pos].rstrip().endswith(","):
        return "; JSON allows no comma after the last element"
    if text[problem.pos :].startswith(("//", "/*", "#")):
        return "; JSON has no comments"
    return ""
