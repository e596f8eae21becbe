"""Where the checkout is, and what of its tests other processes import."""

from __future__ import annotations

from pathlib import Path

SUPPORT = Path(__file__).parent
TESTS = SUPPORT.parent
DATA = TESTS / "data"
ROOT = TESTS.parent

#: What PYTHONPATH is for a process that imports platforms or scenarios made for tests.
PYTHONPATH = f"{SUPPORT}:{DATA}"
