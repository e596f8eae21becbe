"""`worldswitch report`: show a run as a matrix."""

from __future__ import annotations

import argparse
from pathlib import Path

from worldswitch.harness.cli import options
from worldswitch.harness.cli.parsing import statuses

ABOUT = "show a run as a matrix: an HTML page, Markdown, or text"
STATUSES = {0: "shown", 2: f"nothing ran in that run; or {statuses.BAD_INPUT}"}
EXAMPLES = """
worldswitch report                              # the last run in which anything ran
worldswitch report --format html -o matrix.html
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options: the run, the format and the output file."""
    options.run_folder(parser)
    parser.add_argument(
        "--format", choices=("html", "markdown", "text"), default="text", help="output format (default: %(default)s)"
    )
    parser.add_argument(
        "-o", dest="output", type=Path, metavar="FILE", help="default: print; for html, matrix.html in the run's folder"
    )


def main(arguments: argparse.Namespace) -> int:
    """Print or write the matrix of the run."""
    from worldswitch.harness.report.matrix import views

    return views.show(arguments.run, arguments.format, arguments.output)
