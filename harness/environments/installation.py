"""How this package was installed, and the commands that complete or repeat the installation.

No command names the package alone: a package index may not have it.
"""

from __future__ import annotations

import importlib.util
import json
import shlex
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

NAME = "worldswitch"

#: Where the name of a package's module is not the package's.
MODULES = {"pyelftools": "elftools", "pytest-xdist": "xdist", "python-debian": "debian"}


def checkout() -> Path | None:
    """Return the checkout that this package runs from; None if it is installed."""
    root = Path(__file__).resolve().parents[2]
    return root if _project(root).get("name") == NAME else None


def requirements(extra: str) -> list[str]:
    """Return the requirements of an extra; a checkout's pyproject.toml is newer than its metadata may be."""
    if root := checkout():
        return sorted(_project(root)["optional-dependencies"][extra])
    suffix = f'extra == "{extra}"'
    pairs = (line.partition(";") for line in metadata.requires(NAME) or [])
    return sorted(requirement.strip() for requirement, _, marker in pairs if marker.strip() == suffix)


def missing(extra: str) -> list[str]:
    """Return the requirements of an extra that are not installed."""
    return [one for one in requirements(extra) if importlib.util.find_spec(_module(one)) is None]


def pip_install(*words: str) -> str:
    """Return the command that installs packages for the Python that runs this."""
    return shlex.join([sys.executable, "-m", "pip", "install", *words])


def reinstall() -> str:
    """Return the command that builds and installs this package again, from where it came from."""
    if root := checkout():
        return pip_install("-e", str(root))
    origin = json.loads(metadata.distribution(NAME).read_text("direct_url.json") or "{}")
    if url := origin.get("url"):
        vcs = origin.get("vcs_info", {}).get("vcs")
        return pip_install("--force-reinstall", f"{vcs}+{url}" if vcs else url)
    return f"install {NAME} again, the way it was installed"


def _project(root: Path) -> Any:
    try:
        return tomllib.loads((root / "pyproject.toml").read_text())["project"]
    except (OSError, tomllib.TOMLDecodeError, KeyError):
        return {}


def _module(requirement: str) -> str:
    name = requirement.partition(">")[0].partition("=")[0].strip()
    return MODULES.get(name, name.replace("-", "_"))
