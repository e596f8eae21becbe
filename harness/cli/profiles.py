"""`worldswitch profiles`: what containers may be like."""

from __future__ import annotations

import argparse

from worldswitch.harness.cli import options

ABOUT = "list the container profiles: what each takes away, and who can run it here"


def add_options(parser: argparse.ArgumentParser) -> None:
    """For whom."""
    options.json(parser)


def main(asked: argparse.Namespace) -> int:
    """Print them."""
    from worldswitch.harness.report import profiles

    return profiles.show(as_json=asked.json)
