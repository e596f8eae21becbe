"""What msgspec says of a value that does not fit, as the field and what is wrong with it."""

from __future__ import annotations

import re

_NAMED = re.compile(r"(?:required|unknown) field `(.+?)`")


def field_and_problem(message: str) -> tuple[str, str]:
    """Split a validation error: msgspec says the path of a field last, and a missing or an unknown one in its text."""
    problem, _, place = message.partition(" - at `$")
    field = place.rstrip("`").lstrip(".")
    if named := _NAMED.search(problem):
        field = f"{field}.{named[1]}".lstrip(".")
    return field, problem[:1].lower() + problem[1:]
