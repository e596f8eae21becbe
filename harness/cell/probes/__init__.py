"""What scenarios ask of a machine, a file a subject; each ability is a function that tries and says what it saw.

It returns a line of text for yes, raises `Absent` or an OSError for no, and EPERM or EACCES for denied; what those
words mean is said in `worldswitch.harness.cell.probes.table`, which runs it in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Look: TypeAlias = Callable[[], str]


class Absent(Exception):
    """What a probe looked for is not there."""
