"""`worldswitch export`: a run in the formats of others."""

from __future__ import annotations

import argparse
from pathlib import Path

from worldswitch.harness.cli import options

ABOUT = "write a run as JUnit XML, KTAP, CTRF or an SQLite database"

FORMATS = ("junit", "ktap", "ctrf", "sqlite")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which run, how, and where it goes."""
    options.run_folder(parser)
    parser.add_argument("--format", choices=FORMATS, required=True)
    parser.add_argument(
        "-o", dest="output", type=Path, metavar="FILE", help="where it goes (default: a file in the run's folder)"
    )


def main(asked: argparse.Namespace) -> int:
    """Read the run, and write it."""
    from worldswitch.harness.report.export import formats

    return formats.export(asked.run, asked.format, asked.output)
