"""Probes of the machine, one file a subject; each is a function that tries one ability.

It returns its evidence as text for yes, raises `Absent` or an OSError for no, and PermissionError for denied.
`worldswitch.harness.cell.probes.table` defines these states and runs each probe in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Look: TypeAlias = Callable[[], str]


class Absent(Exception):
    """The machine lacks the ability that a probe tried."""
