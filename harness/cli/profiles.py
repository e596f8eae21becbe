"""`worldswitch profiles`: list the container profiles."""

from __future__ import annotations

import argparse

from worldswitch.harness.cli import options
from worldswitch.harness.cli.parsing import statuses

ABOUT = "list the container profiles: what each restricts, and which engines can run it here"
STATUSES = {0: "listed", 2: statuses.BAD_INPUT}
EXAMPLES = ""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the option for JSON."""
    options.json(parser)


def main(arguments: argparse.Namespace) -> int:
    """Print the profiles."""
    from worldswitch.harness.report import profiles

    return profiles.show(as_json=arguments.json)
