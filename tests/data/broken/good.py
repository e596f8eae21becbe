"""A module that can be imported."""

from __future__ import annotations

from claims.basics import _declare


@_declare("GO01")
def it_is_fine(trial: object) -> None:
    """It passes."""
