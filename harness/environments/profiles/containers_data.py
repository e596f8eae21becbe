"""The data that comes with the package."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from worldswitch.harness.environments.profiles.seccomp_filter import (
    ProfileError as ProfileError,  # offered here too: who reads profiles meets it
)


def folder(name: str) -> Path:
    """Return a folder of the package's data."""
    return Path(str(resources.files("worldswitch.containers"))) / name
