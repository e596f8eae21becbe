"""The known names that are most like an unknown one, as the end of an error message."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LIKENESS = 0.6  #: of two names, from 0 to 1, as difflib measures it
MARGIN = 0.1  #: of the likeness between the best name and others in a hint
MOST = 3  #: names in a hint


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Return up to `MOST` known names that are most like `name`, the most similar first; case does not matter."""
    lowered: dict[str, str] = {}
    for one in known:
        lowered.setdefault(one.lower(), one)
    found = difflib.get_close_matches(name.lower(), lowered, MOST, LIKENESS)
    best = _likeness(name, found[0]) if found else 0.0
    return [lowered[one] for one in found if _likeness(name, one) > best - MARGIN]


def _likeness(name: str, other: str) -> float:
    return difflib.SequenceMatcher(None, other, name.lower()).ratio()


def hint(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean A or B?)``, or an empty string if no known name is like `name`."""
    found = nearest(name, known)
    return f" (did you mean {' or '.join(found)}?)" if found else ""
