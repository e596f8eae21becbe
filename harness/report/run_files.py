"""Writes the reports of a finished run to its folder: JUnit XML, and the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from worldswitch.harness.expectations.outcome import CellOutcome, Stale
from worldswitch.harness.report.export import junit
from worldswitch.harness.report.matrix import views
from worldswitch.harness.results.errors import ResultError

JUNIT = "junit.xml"


def write(outcomes: Sequence[CellOutcome], folder: Path, stale: Sequence[Stale]) -> str:
    """Write the reports of a finished run; returns "", or why a file could not be written."""
    try:
        junit.write(outcomes, folder / JUNIT, stale=stale)
        views.write_to_folder(folder)
    except (ResultError, OSError) as problem:
        return str(problem)
    return ""
