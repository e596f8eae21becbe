"""The command `worldswitch mutants`: hunt, tell, and leave the kill matrix behind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.report.console import console
from worldswitch.harness.report.mutants import page, table
from worldswitch.harness.report.mutants.progress import Progress
from worldswitch.harness.run.mutants import campaign
from worldswitch.harness.run.mutants import matrix as kill_matrix
from worldswitch.harness.run.request import Request

NAME = "kill_matrix"  #: of the files, before .json and .html


def show(request: Request, names: Sequence[str], *, full: bool, results: Path | None) -> Status:
    """Put the mutants called `names`, or all, to their scenarios; the matrix of all goes to `results`."""
    out = console()
    folder = _folder(results or Path("results")) if results or not names else None
    out.print(f"seed {request.seed}")
    with Progress(out, request) as progress:
        mutants, unproven = campaign.chosen(names), None if names else campaign.unproven()
        matrix = campaign.Hunt(request, mutants, campaign.scenarios(), progress, full, unproven).go()
    table.show(matrix, out)
    if folder:
        kill_matrix.write(matrix, folder / f"{NAME}.json")
        page.write(matrix, folder / f"{NAME}.html")
        out.print(f"results: {folder / NAME}.json, {folder / NAME}.html")
    out.print(str(kill_matrix.tally(matrix)))
    return kill_matrix.status(matrix)


def _folder(folder: Path) -> Path:
    """The folder for the matrix: better refused before the hunt than after it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise CouldNotRun(
            f"results cannot go to {folder}: {problem.strerror}; name another place by --results"
        ) from problem
    return folder
