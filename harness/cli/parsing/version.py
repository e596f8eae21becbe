"""`worldswitch --version`: the version, and the commit of a checkout."""

from __future__ import annotations

import argparse
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[3]  #: if this module is in one; the checkout is the package
GIT_SECONDS = 5


class Version(argparse.Action):
    """Prints the version and exits; git runs only then."""

    def __init__(self, option_strings: list[str], dest: str, **settings: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, **settings)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print the version and exit."""
        print(text())
        parser.exit()


def text() -> str:
    """Return the program's name and version, and the commit if it runs from a checkout."""
    try:
        version = metadata.version("worldswitch")
    except metadata.PackageNotFoundError:  # neither installed nor in an editable install
        version = "of unknown version"
    commit = _commit()
    return f"worldswitch {version}" + (f" ({commit})" if commit else "")


def _commit() -> str:
    """Return the checkout's commit, with ``-dirty`` if files differ from it; empty outside of a checkout."""
    if not (CHECKOUT / ".git").exists():
        return ""
    command = ["git", "-C", str(CHECKOUT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=GIT_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):  # no git, or another user's checkout
        return ""
    return f"commit {done.stdout.strip()}"
