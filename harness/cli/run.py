"""`worldswitch run`: run the scenarios against a platform."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from worldswitch.harness.cell_name import REFERENCE
from worldswitch.harness.cli import options
from worldswitch.harness.cli.parsing import completers, statuses
from worldswitch.harness.cli.parsing.completers import completed_by
from worldswitch.harness.report.console import console
from worldswitch.harness.report.progress import Progress
from worldswitch.harness.results.writer import new_folder
from worldswitch.harness.run.request import Request

ABOUT = "run the scenarios against a platform"
STATUSES = statuses.RUN
EXAMPLES = """
worldswitch run                                 # on the host, and in a container of each usual profile
worldswitch run --engine host -k 'signal and not vsyscall'
worldswitch run --profile hardened              # in one container
worldswitch run --id TT01 --repeat soak         # one scenario, with many repetitions
worldswitch run --kernel 6.12 --engine host     # in a virtual machine
worldswitch run --engine host --platform reference --platform seed
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options: what to run, where, how, and the results' folder."""
    what = parser.add_argument_group("what to run")
    platform = what.add_argument(
        "--platform",
        **options.MANY,
        dest="platforms",
        metavar="NAME",
        help="an installed platform, package.module:Class, or mutant:NAME; repeatable, to compare platforms "
        f"(default: {REFERENCE})",
    )
    completed_by(completers.platforms, platform)
    options.keyword(what)
    options.ids(what)
    what.add_argument("--no-chaos", dest="chaos", action="store_false", help="exclude the chaos scenarios (CH*)")
    what.add_argument(
        "--rules",
        **options.MANY,
        metavar="FILE",
        help="a file of your own rules of expected verdicts, which take precedence over all others (see `worldswitch "
        "expect`); repeatable",
    )
    options.where_to_run(parser, engine="auto")
    options.how_to_run(parser)
    options.results(parser)


def main(arguments: argparse.Namespace) -> int:
    """Run the scenarios, and print the outcome."""
    request = options.request(arguments)
    return carry_out(replace(request, all_facts=request.is_whole), arguments.results, arguments.name)


def carry_out(request: Request, results: Path, command: str, *, as_matrix: bool = False) -> int:
    """Run `request` for `command`, and print the outcome, as a table if `as_matrix`; returns the exit status."""
    from worldswitch.harness.expectations.outcome import Status, status
    from worldswitch.harness.report import run_files, terminal
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

        page = run.folder / terminal.PAGE
        out.print(f"\nresults: {run.folder}" + (f"\nmatrix: {page}" if page.exists() else ""))
        table.show(reader.read(run.folder), out)
    else:
        terminal.summary(run.outcomes, run.folder, request.seed, out, run.stale)
    if run.interrupted:
        raise KeyboardInterrupt
    if unkept:
        print(f"worldswitch {command}: not all results could be written: {unkept}; {MAKE_ROOM}", file=sys.stderr)
    return status(run.outcomes, run.stale) or (Status.COULD_NOT_RUN if unkept else Status.AS_EXPECTED)
