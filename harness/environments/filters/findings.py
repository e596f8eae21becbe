"""What is found in a filter: errors, warnings and notes, each with its field."""

from __future__ import annotations

import difflib
import enum
import os.path
from collections.abc import Iterable
from dataclasses import dataclass


class Severity(enum.StrEnum):
    """What a finding means for the container."""

    ERROR = "error"  #: an engine or runtime refuses the filter
    WARNING = "warning"  #: the container starts, and part of the filter does not do what it says
    NOTE = "note"  #: part of the filter has no effect and needs none


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem of a filter."""

    severity: Severity
    field: str  #: its path in the file; empty for the whole file
    text: str

    def __str__(self) -> str:
        return f"{self.field}: {self.text}" if self.field else self.text


class Place:
    """A field of a file; collects the findings of the field and of those below it."""

    def __init__(self, field: str = "", findings: list[Finding] | None = None) -> None:
        self.field = field
        self.findings: list[Finding] = [] if findings is None else findings

    def into(self, name: str) -> Place:
        """Return the place of a field of this object."""
        return Place(f"{self.field}.{name}" if self.field else name, self.findings)

    def at(self, index: int) -> Place:
        """Return the place of an element of this list."""
        return Place(f"{self.field}[{index}]", self.findings)

    def has_error_below(self, name: str) -> bool:
        """True if a field of this object whose name begins so has an error."""
        return any(
            one.severity is Severity.ERROR and one.field.startswith(self.into(name).field) for one in self.findings
        )

    def error(self, text: str) -> None:
        """Add an error."""
        self.findings.append(Finding(Severity.ERROR, self.field, text))

    def warning(self, text: str) -> None:
        """Add a warning."""
        self.findings.append(Finding(Severity.WARNING, self.field, text))

    def note(self, text: str) -> None:
        """Add a note."""
        self.findings.append(Finding(Severity.NOTE, self.field, text))


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the suggestion `; did you mean X?`; empty if no known word is similar."""
    words = list(known)
    shared = os.path.commonprefix(words)  # noqa: RUF071  SCMP_ACT_, which would make all words similar
    by_folded = {one.removeprefix(shared).casefold(): one for one in words}
    folded = word.strip().casefold().removeprefix(shared.casefold())
    found = difflib.get_close_matches(folded, by_folded, n=1, cutoff=0.7)
    return f"; did you mean {by_folded[found[0]]}?" if found else ""


def check_word(word: str, known: frozenset[str], what: str, place: Place) -> bool:
    """True if the word is known; else add the error."""
    if word in known:
        return True
    choices = f"; expected one of {', '.join(sorted(known))}"
    place.error(f"{word!r} is no {what}{nearest(word, known) or choices}" if word else f"is missing{choices}")
    return False
