"""Checks the names of kernels before anything is downloaded or booted."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from worldswitch.harness.environments.kernels import fetch, image
from worldswitch.harness.errors import CouldNotRun, Unobtainable


def check(names: Iterable[str]) -> None:
    """Raise `CouldNotRun` for a name that the list of kernels does not have, and for a file that is no kernel."""
    for name in names:
        try:
            if fetch.is_file(name):
                image.from_file(Path(name))
            else:
                fetch.entry_of(name)
        except Unobtainable as problem:
            raise CouldNotRun(str(problem)) from problem
