"""`worldswitch list`: what there is to run."""

from __future__ import annotations

import argparse

from worldswitch.harness.cli import options

ABOUT = "list the scenarios with their claims, and the profiles, platforms and mutants"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which, and for whom."""
    options.ids(parser)
    options.json(parser)


def main(asked: argparse.Namespace) -> int:
    """Print them."""
    from worldswitch.harness.report import listing

    return listing.show(asked.ids, as_json=asked.json)
