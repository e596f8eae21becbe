"""`worldswitch expect`: check and update the rules of expected verdicts."""

from __future__ import annotations

import argparse
from pathlib import Path

from worldswitch.harness.cli import options

ABOUT = "check the rules of expected verdicts, or update them from a run"
STATUSES = {
    0: "check: no errors; update: the rules expect every verdict of the run, or have been written",
    1: "check: a file has errors; update: edits are left to make",
    2: "invalid arguments, or a run that cannot be read",
}
EXAMPLES = """
worldswitch expect check rules.toml
worldswitch expect update last                  # prints a diff
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands `check` and `update`."""
    kinds = parser.add_subparsers(metavar="WHAT", required=True, dest="what")
    check = options.subcommand(
        kinds,
        "check",
        "validate files of rules, and the rules in profiles",
        {0: "no errors", 1: "a file has errors or cannot be read", 2: "invalid arguments"},
        "worldswitch expect check rules.toml",
    )
    check.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="files to check (default: all those of the package)"
    )
    update = options.subcommand(
        kinds,
        "update",
        "print a diff that makes the rules expect the verdicts of a run",
        {
            0: "the rules expect every verdict, or --write has written them",
            1: "edits are left to make",
            2: "the run cannot be read, or a file cannot be written",
        },
        "worldswitch expect update last",
    )
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
