"""`worldswitch list`: list what can be named on a command line."""

from __future__ import annotations

import argparse

from worldswitch.harness.cli import options

ABOUT = "list what can be named: scenarios with their claims, probes, platforms, mutants, profiles, kernels"
STATUSES = {0: "listed", 2: "a name or an expression is unknown or invalid, or matches nothing"}
EXAMPLES = """
worldswitch list                                # the kinds, with their numbers
worldswitch list scenarios -k vsyscall
worldswitch list scenarios --id 'SG*' --json
worldswitch list mutants -k pool
"""

KINDS = ("scenarios", "probes", "platforms", "mutants", "profiles", "kernels")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options: which names, and the output format."""
    parser.add_argument("kind", nargs="?", choices=KINDS, help="default: the kinds, with their numbers")
    parser.add_argument("-k", dest="keyword", default="", metavar="EXPRESSION", help="only those that this matches")
    options.ids(parser)
    options.json(parser)


def main(arguments: argparse.Namespace) -> int:
    """Print the list."""
    from worldswitch.harness.report import listing

    return listing.show(arguments.kind or "", arguments.ids, arguments.keyword, as_json=arguments.json)
