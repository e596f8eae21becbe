"""`worldswitch report`: show what came of a run."""

from __future__ import annotations

import argparse
from pathlib import Path

from worldswitch.harness.cli import options

ABOUT = "show a run as a matrix: a page, Markdown, or text"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which run, and how."""
    options.run_folder(parser)
    parser.add_argument(
        "--format", choices=("html", "markdown", "text"), default="text", help="(default: %(default)s, to be read here)"
    )
    parser.add_argument(
        "-o", dest="output", type=Path, metavar="FILE", help="where it goes (default: matrix.html in the run's folder)"
    )


def main(asked: argparse.Namespace) -> int:
    """Read the run, and show it."""
    from worldswitch.harness.report.matrix import views

    return views.show(asked.run, asked.format, asked.output)
