"""`worldswitch export`: write a run in another tool's format."""

from __future__ import annotations

import argparse
from pathlib import Path

from worldswitch.harness.cli import options
from worldswitch.harness.cli.parsing import statuses

ABOUT = "write a run as JUnit XML, KTAP, CTRF or an SQLite database"
STATUSES = statuses.READ
EXAMPLES = """
worldswitch export --format junit -o junit.xml
worldswitch export RUN --format sqlite -o runs.sqlite
"""

FORMATS = ("junit", "ktap", "ctrf", "sqlite")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options: the run, the format and the output file."""
    options.run_folder(parser)
    parser.add_argument("--format", choices=FORMATS, required=True, help="the output format")
    parser.add_argument(
        "-o", dest="output", type=Path, metavar="FILE", help="the output file (default: a file in the run's folder)"
    )


def main(arguments: argparse.Namespace) -> int:
    """Convert the run; returns the exit status."""
    from worldswitch.harness.report.export import formats

    return formats.export(arguments.run, arguments.format, arguments.output)
