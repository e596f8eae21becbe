"""The version numbers in a text such as `linux-6.12`, `6.12.9+deb13-cloud-amd64` or `runc 1.1.5`.

No version library parses kernel releases, so they are compared by these numbers.
"""

from __future__ import annotations

import re
from typing import TypeAlias

Numbers: TypeAlias = tuple[int, ...]


def numbers(text: str) -> Numbers:
    """Return the numbers of the first version in a text, (6, 12, 9) for `6.12.9+deb13`; empty without a version."""
    found = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(map(int, found[0].split("."))) if found else ()


def minor(text: str) -> Numbers:
    """Return the first two numbers, which name a kernel series."""
    return numbers(text)[:2]


def series(text: str) -> str:
    """Return the series as text, `6.12`; `text` itself if it has no version."""
    return ".".join(map(str, minor(text))) or text
