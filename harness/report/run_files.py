"""What a finished run leaves in its folder for readers: JUnit XML and, of several environments, the matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from worldswitch.harness.expectations.outcome import CellOutcome, Stale
from worldswitch.harness.report.export import junit
from worldswitch.harness.results.errors import ResultError

JUNIT = "junit.xml"


def write(outcomes: Sequence[CellOutcome], folder: Path, stale: Sequence[Stale]) -> str:
    """Write the files of a run that has ended; the reason if one of them cannot be written, else ""."""
    try:
        junit.write(outcomes, folder / JUNIT, stale=stale)
        if len({outcome.cell.environment for outcome in outcomes}) > 1:
            from worldswitch.harness.report.matrix import (
                views,  # needs a template engine, which a single environment does not
            )

            views.leave(folder)
    except (ResultError, OSError) as problem:
        return str(problem)
    return ""
