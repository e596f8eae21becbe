"""Where the data of the package `worldswitch.containers` is: profiles, seccomp filters, rules, lists."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def folder(name: str = "") -> Path:
    """Return a folder of the package's data, or the one that has them all."""
    return Path(str(resources.files("worldswitch.containers"))) / name
