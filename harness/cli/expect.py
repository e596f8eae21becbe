"""`worldswitch expect`: check and update the rules of expected verdicts."""

from __future__ import annotations

import argparse
from pathlib import Path

from worldswitch.harness.cli import options

ABOUT = "check the rules of expected verdicts, or update them from a run"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands `check` and `update`."""
    kinds = parser.add_subparsers(metavar="WHAT", required=True, dest="what")
    check = options.subcommand(kinds, "check", "validate files of rules, and the rules in profiles")
    check.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="files to check (default: all those of the package)"
    )
    update = options.subcommand(kinds, "update", "print a diff that makes the rules expect the verdicts of a run")
    update.add_argument("run", metavar="RUN", help="the run's folder, its name in results/, or `last`")
    update.add_argument("--write", action="store_true", help="apply the diff to the files")
    update.add_argument(
        "--tighten", action="store_true", help="also remove allowed verdicts that did not occur in the run"
    )


def main(arguments: argparse.Namespace) -> int:
    """Run the subcommand; returns its exit status."""
    from worldswitch.harness.report.rules import check, update

    if arguments.what == "check":
        return check.show(arguments.files)
    return update.show(arguments.run, write=arguments.write, tighten=arguments.tighten)
