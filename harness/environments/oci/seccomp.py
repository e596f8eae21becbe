"""The filter of a container in the OCI format, and the engines' default filter."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any

from worldswitch.harness.environments.filters import filter_file, resolution
from worldswitch.harness.environments.filters.resolution import SeccompTarget as SeccompTarget  # re-exported
from worldswitch.harness.environments.profiles.containers_data import folder

DEFAULT = "default.json"  #: in `containers/seccomp`: the default of engines, for use without one


def default() -> str:
    """Return the text of the engines' default filter."""
    return (folder("seccomp") / DEFAULT).read_text()


def digest(text: str) -> str:
    """Return a digest of a filter's text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def resolve(text: str, capabilities: Collection[str], machine: SeccompTarget) -> dict[str, Any]:
    """Return the rules that apply of a checked filter's text; empty if it has no default action: then there is none.

    `capabilities` is the container's bounding set, by names such as ``CAP_KILL``.
    """
    return resolution.resolve(filter_file.parsed(text), capabilities, machine)
