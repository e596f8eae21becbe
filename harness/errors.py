"""Errors that carry a reason and a remedy."""

from __future__ import annotations


class CouldNotRun(Exception):
    """What was asked for cannot be run: why, and what to do."""


class Unobtainable(Exception):
    """Something that containers need cannot be had here: why, and what to do."""

    def __init__(self, reason: str, remedy: str, log: str = "") -> None:
        """Carry what is missing, what to do, and the end of what the failed thing wrote."""
        super().__init__(f"{reason}; {remedy}")
        self.reason = reason
        self.remedy = remedy
        self.log = log
