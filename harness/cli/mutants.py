"""`worldswitch mutants`: check that the scenarios bite."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from worldswitch.harness.cli import options
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.report.console import console
from worldswitch.harness.run.request import Request

NAME = "kill_matrix"  #: of the files, before .json and .html
ABOUT = "check that each known-bad platform is caught by the scenarios it names"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which mutants, where, how, and where the kill matrix goes."""
    what = parser.add_argument_group("what to run")
    what.add_argument("mutants", nargs="*", metavar="NAME", help="only these mutants")
    what.add_argument(
        "--full",
        "--all",
        action="store_true",
        help="put each mutant to every scenario, not only to those it names and a random tenth of the others",
    )
    options.place(parser, engine="host")
    options.manner(parser, repeat="quick")
    parser.add_argument(
        "--results",
        type=Path,
        metavar="DIR",
        help="where the kill matrix goes (default: results; nowhere if only some mutants are named)",
    )


def main(asked: argparse.Namespace) -> int:
    """Run the campaign, and show what became of each mutant."""
    return show(options.request(asked), asked.mutants, full=asked.full, results=asked.results)


def show(request: Request, names: Sequence[str], *, full: bool, results: Path | None) -> Status:
    """Run the mutants called `names`, or all; the matrix of all goes to `results`."""
    from worldswitch.harness.catalogue import reason_lists, scenarios
    from worldswitch.harness.catalogue.mutants import MUTANTS
    from worldswitch.harness.report.mutants import page, table
    from worldswitch.harness.report.mutants.progress import CampaignProgress
    from worldswitch.harness.run.mutants import campaign
    from worldswitch.harness.run.mutants import matrix as kill_matrix
    from worldswitch.harness.run.mutants.proof import UNPROVEN

    out = console()
    folder = _folder(results or Path("results")) if results or not names else None
    out.print(f"seed {request.seed}")
    with CampaignProgress(out, request) as progress:
        mutants, unproven = campaign.chosen(names), None if names else reason_lists.load(MUTANTS, UNPROVEN)
        matrix = campaign.Campaign(request, mutants, scenarios.scenarios(), progress, full, unproven).go()
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
