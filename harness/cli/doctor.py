"""`worldswitch doctor`: what can run here."""

from __future__ import annotations

import argparse

from worldswitch.harness.cli import options

ABOUT = "say what can run here, what cannot, why, and the command that enables it"


def add_options(parser: argparse.ArgumentParser) -> None:
    """For whom."""
    options.json(parser)


def main(asked: argparse.Namespace) -> int:
    """Look, and tell."""
    from worldswitch.harness.report import doctor

    return doctor.show(as_json=asked.json)
