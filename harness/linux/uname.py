"""The kernel that runs this process, in words."""

from __future__ import annotations

import os


def kernel() -> str:
    """The kernel's name, release and version."""
    system = os.uname()
    return f"{system.sysname} {system.release} {system.version}"
