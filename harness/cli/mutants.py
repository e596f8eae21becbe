"""`worldswitch mutants`: check that the scenarios catch known-bad platforms."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from worldswitch.harness.cli import options
from worldswitch.harness.cli.parsing import completers
from worldswitch.harness.cli.parsing.completers import completed_by
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.report.console import console
from worldswitch.harness.run.request import Request

NAME = "kill_matrix"  #: stem of the files written
ABOUT = "check that each mutant (a known-bad platform) fails the scenarios it names"
STATUSES = {
    0: "every mutant was caught by the scenarios that it names",
    1: "a mutant was not caught, or the reference failed a scenario",
    2: "something could not run; or invalid arguments",
}
EXAMPLES = """
worldswitch list mutants -k pool                # their names
worldswitch mutants NAME                        # one, on the host
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options: which mutants, where, how, and the kill matrix's folder."""
    what = parser.add_argument_group("what to run")
    names = what.add_argument("mutants", nargs="*", metavar="NAME", help="only these mutants (default: all)")
    completed_by(completers.mutants, names)
    what.add_argument(
        "--full",
        "--all",
        action="store_true",
        help="run each mutant on every scenario, not only on those it names and a random tenth of the others",
    )
    options.where_to_run(parser, engine="host")
    options.how_to_run(parser, repeat="quick")
    parser.add_argument(
        "--results",
        type=Path,
        metavar="DIR",
        help="write the kill matrix to this folder (default: results; not written if mutants are named)",
    )


def main(arguments: argparse.Namespace) -> int:
    """Run the campaign, and print the fate of each mutant."""
    return show(options.request(arguments), arguments.mutants, full=arguments.full, results=arguments.results)


def show(request: Request, names: Sequence[str], *, full: bool, results: Path | None) -> Status:
    """Run the mutants called `names`, or all of them; write the kill matrix to `results`, if wanted."""
    from worldswitch.harness.catalogue import reason_lists, scenarios
    from worldswitch.harness.catalogue.mutants import MUTANTS
    from worldswitch.harness.report.mutants import page, table
    from worldswitch.harness.report.mutants.progress import CampaignProgress
    from worldswitch.harness.run.mutants import campaign
    from worldswitch.harness.run.mutants import matrix as kill_matrix
    from worldswitch.harness.run.mutants.proof import UNPROVEN

    out = console()
    mutants, unproven = campaign.chosen(names), None if names else reason_lists.load(MUTANTS, UNPROVEN)
    request.scenarios()  # raises `CouldNotRun` for an invalid request
    folder = _folder(results or Path("results")) if results or not names else None
    out.print(f"seed {request.seed}")
    with CampaignProgress(out, request) as progress:
        matrix = campaign.Campaign(request, mutants, scenarios.scenarios(), progress, full, unproven).go()
    table.show(matrix, out)
    if folder:
        kill_matrix.write(matrix, folder / f"{NAME}.json")
        page.write(matrix, folder / f"{NAME}.html")
        out.print(f"results: {folder / NAME}.json, {folder / NAME}.html")
    out.print(str(kill_matrix.tally(matrix)))
    return kill_matrix.status(matrix)


def _folder(folder: Path) -> Path:
    """Create the matrix's folder before the campaign starts; raises `CouldNotRun`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise CouldNotRun(
            f"results cannot go to {folder}: {problem.strerror}; name another folder with --results"
        ) from problem
    return folder
