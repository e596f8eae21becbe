"""Errors that carry a reason and a remedy."""

from __future__ import annotations


class CouldNotRun(Exception):
    """The request cannot be run; the message gives the reason and the remedy."""


class Unobtainable(Exception):
    """A dependency is missing on this machine; carries the reason and a remedy."""

    def __init__(self, reason: str, remedy: str, log: str = "") -> None:
        """Store what is missing, the remedy, and the last output of the command that failed."""
        super().__init__(f"{reason}; {remedy}")
        self.reason = reason
        self.remedy = remedy
        self.log = log
