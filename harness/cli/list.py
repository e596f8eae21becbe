"""`worldswitch list`: list what can be named to `worldswitch run`."""

from __future__ import annotations

import argparse

from worldswitch.harness.cli import options

ABOUT = "list the scenarios with their claims, and the profiles, platforms and mutants"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options: which scenarios, and the output format."""
    options.ids(parser)
    options.json(parser)


def main(arguments: argparse.Namespace) -> int:
    """Print the lists."""
    from worldswitch.harness.report import listing

    return listing.show(arguments.ids, as_json=arguments.json)
