"""The commands of `worldswitch`, a file each: its options, and what is done when it is asked.

A command is a module with

    ABOUT                    what it does, for the list of commands
    add_options(parser)      its options
    main(asked)              do it; the exit status

Modules import what they do it with inside `main`, so that `--help` and a wrong option answer at once.
"""

from __future__ import annotations

import argparse
from typing import Protocol


class Command(Protocol):
    """A module of this package."""

    ABOUT: str

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's options."""

    def main(self, asked: argparse.Namespace) -> int:
        """Do it; the exit status."""
