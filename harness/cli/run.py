"""`worldswitch run`: put a platform through the scenarios."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from worldswitch.harness.cell_name import REFERENCE
from worldswitch.harness.cli import options
from worldswitch.harness.report.console import console
from worldswitch.harness.report.progress import Progress
from worldswitch.harness.results.writer import new_folder
from worldswitch.harness.run.request import Request

ABOUT = "put a platform through the scenarios"


def add_options(parser: argparse.ArgumentParser) -> None:
    """What, where, how, and where results go."""
    what = parser.add_argument_group("what to run")
    what.add_argument(
        "--platform",
        **options.MANY,
        dest="platforms",
        metavar="NAME",
        help="an installed platform, package.module:Class, or mutant:NAME; repeatable: side by side "
        f"(default: {REFERENCE})",
    )
    what.add_argument("-k", dest="keyword", default="", metavar="EXPRESSION", help="scenarios by name, as in pytest")
    options.ids(what)
    what.add_argument(
        "--no-chaos", dest="chaos", action="store_false", help="leave the scenarios out in which chaos reigns: CH*"
    )
    what.add_argument(
        "--rules",
        **options.MANY,
        metavar="FILE",
        help="what you expect where that is not a pass, before all other rules; see `worldswitch expect`; repeatable",
    )
    options.place(parser, engine="auto")
    options.manner(parser)
    options.results(parser)


def main(asked: argparse.Namespace) -> int:
    """Run, and show what came of it."""
    return carry_out(options.request(asked), asked.results, asked.name)


def carry_out(request: Request, results: Path, command: str, *, as_matrix: bool = False) -> int:
    """Run what is asked for, and show what came of it, for the command called so: at length, or as a table of cells."""
    from worldswitch.harness.expectations.outcome import Status, status
    from worldswitch.harness.report import run_files
    from worldswitch.harness.report import terminal as report
    from worldswitch.harness.results import reader
    from worldswitch.harness.results.errors import MAKE_ROOM
    from worldswitch.harness.run import runner

    scenarios = request.scenarios()
    out = console()
    folder = new_folder(results)
    with Progress(out, request, folder) as progress:
        run = runner.Run(request, scenarios, folder, progress)
        run.go()
    unkept = run.unkept or run_files.write(run.outcomes, run.folder, run.stale)
    if as_matrix:
        from worldswitch.harness.report.matrix import table

        page = run.folder / report.PAGE
        out.print(f"\nresults: {run.folder}" + (f"\nmatrix: {page}" if page.exists() else ""))
        table.show(reader.read(run.folder), out)
    else:
        report.summary(run.outcomes, run.folder, request.seed, out, run.stale)
    if run.interrupted:
        raise KeyboardInterrupt
    if unkept:
        print(f"worldswitch {command}: not all of it could be kept: {unkept}; {MAKE_ROOM}", file=sys.stderr)
    return status(run.outcomes, run.stale) or (Status.COULD_NOT_RUN if unkept else Status.AS_EXPECTED)
