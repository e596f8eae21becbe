"""`worldswitch expect`: keep the rules right that say what is expected."""

from __future__ import annotations

import argparse
from pathlib import Path

ABOUT = "check the rules that say what is expected, or amend them after a run"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Check or update."""
    kinds = parser.add_subparsers(metavar="WHAT", required=True, dest="what")
    about = "say what is wrong with files of rules, or with the rules of profiles"
    check = kinds.add_parser("check", help=about, description=f"{about.capitalize()}.")
    check.add_argument("files", nargs="*", type=Path, metavar="FILE", help="default: all that come with the package")
    about = "print, as a diff, the edits after which the rules would have expected what came in a run"
    update = kinds.add_parser("update", help=about, description=f"{about.capitalize()}.")
    update.add_argument("run", metavar="RUN", help="the run's folder, its name in results/, or `last`")
    update.add_argument("--write", action="store_true", help="make them")
    update.add_argument(
        "--tighten", action="store_true", help="also no longer allow the verdicts that the run has not seen"
    )


def main(asked: argparse.Namespace) -> int:
    """Do it."""
    from worldswitch.harness.report.rules import check, update

    if asked.what == "check":
        return check.show(asked.files)
    return update.show(asked.run, write=asked.write, tighten=asked.tighten)
