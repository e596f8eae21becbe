"""Parse msgspec's validation errors."""

from __future__ import annotations

import re

_NAMED = re.compile(r"(?:required|unknown) field `(.+?)`")


def field_and_problem(message: str) -> tuple[str, str]:
    """Split a validation error into field and problem; msgspec names a missing or unknown field inside the text."""
    problem, _, path = message.partition(" - at `$")
    field = path.rstrip("`").lstrip(".")
    if named := _NAMED.search(problem):
        field = f"{field}.{named[1]}".lstrip(".")
    return field, problem[:1].lower() + problem[1:]
