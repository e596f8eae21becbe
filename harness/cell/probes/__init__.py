"""Probes of the machine, one file a subject; each is a function that tries one ability.

It returns its evidence as text for yes.  It raises `Absent` or an OSError for no, and `Denied` or PermissionError for
denied.
`worldswitch.harness.cell.probes.table` defines these states and runs each probe in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Look: TypeAlias = Callable[[], str]


class Absent(Exception):
    """The machine lacks the ability that a probe tried; the second argument is a remedy, if its evidence was seen."""


class Denied(Exception):
    """A policy forbids the ability that a probe tried; the second argument is a remedy, if its evidence was seen."""
