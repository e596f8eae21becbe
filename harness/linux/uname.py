"""The running kernel as text."""

from __future__ import annotations

import os


def kernel() -> str:
    """Return the kernel's name, release and version."""
    system = os.uname()
    return f"{system.sysname} {system.release} {system.version}"
