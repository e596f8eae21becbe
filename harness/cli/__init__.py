"""The commands of `worldswitch`, one module each.

A command is a module with

    ABOUT                    what it does, for the list of commands
    STATUSES                 what each of its exit statuses means
    EXAMPLES                 command lines for its help, each with a comment
    add_options(parser)      add its options to the parser
    main(arguments)          run it; returns the exit status

`main` imports what it needs itself, so that `--help` and argument errors do not wait for imports.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Protocol


class Command(Protocol):
    """A command module of this package."""

    ABOUT: str
    STATUSES: Mapping[int, str]
    EXAMPLES: str

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's options."""

    def main(self, arguments: argparse.Namespace) -> int:
        """Run the command; returns the exit status."""
