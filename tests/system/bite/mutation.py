"""The value that describes one small change of the reference, in Python or in C."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Mutation:
    """One change; its identity does not depend on line numbers or on the layout of the source.

    `before` and `after` are the changed statement, or the first line of a compound one, with single blanks.
    """

    file: str  #: in the checkout, such as ``reference/filter.py``
    function: str  #: its qualified name; empty at the top of a file
    operator: str  #: such as ``statement left out``
    before: str
    after: str
    occurrence: int = 0  #: counts the changes of a function that have the same words
    line: int = 0  #: of the changed statement now, for the reader
    number: int = 0  #: for C: the value of WORLDSWITCH_BITE_C that selects it, from 1

    @functools.cached_property
    def id(self) -> str:
        """Ten hexadecimal digits, derived from what does not move."""
        words = (self.file, self.function, self.operator, self.before, self.after, str(self.occurrence))
        return hashlib.sha256("\0".join(words).encode()).hexdigest()[:10]

    @property
    def family(self) -> str:
        """The name of the file without folder and suffix."""
        return self.file.rpartition("/")[2].partition(".")[0]

    def __str__(self) -> str:
        place = f"{self.id} {self.file}:{self.line} {self.function}".rstrip()
        return f"{place} ({self.operator})\n  - {self.before}\n  + {self.after}"
