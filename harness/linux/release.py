"""The numbers of a version, wherever it stands in a text: in `linux-6.12`, `6.12.9+deb13-cloud-amd64`, `runc 1.1.5`.

Releases of kernels follow no scheme that a library for versions reads; their numbers are what they are compared by.
"""

from __future__ import annotations

import re
from typing import TypeAlias

Numbers: TypeAlias = tuple[int, ...]


def numbers(text: str) -> Numbers:
    """Return the numbers of the first version in a text, (6, 12, 9) of `6.12.9+deb13`; none if there is no version."""
    found = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(map(int, found[0].split("."))) if found else ()


def minor(text: str) -> Numbers:
    """Return the first two of them, which name a series of kernels."""
    return numbers(text)[:2]


def series(text: str) -> str:
    """Return these two as people write them, `6.12`; without a version, `text` itself."""
    return ".".join(map(str, minor(text))) or text
