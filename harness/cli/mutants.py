"""`worldswitch mutants`: check that the scenarios bite."""

from __future__ import annotations

import argparse
from pathlib import Path

from worldswitch.harness.cli import options

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
    """Hunt, and show what became of each."""
    from worldswitch.harness.cli import mutants_run

    return mutants_run.show(options.request(asked), asked.mutants, full=asked.full, results=asked.results)
