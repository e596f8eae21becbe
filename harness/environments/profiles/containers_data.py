"""The data folders of the package `worldswitch.containers`: profiles, seccomp filters, rules, lists."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def folder(name: str = "") -> Path:
    """Return a folder of the package's data; without `name`, the top folder."""
    return Path(str(resources.files("worldswitch.containers"))) / name
