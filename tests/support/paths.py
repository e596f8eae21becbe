"""The folders of the checkout, and the import path for processes that tests start."""

from __future__ import annotations

from pathlib import Path

SUPPORT = Path(__file__).parent
TESTS = SUPPORT.parent
DATA = TESTS / "data"
ROOT = TESTS.parent

#: PYTHONPATH of a process that imports the platforms or scenarios of tests.
PYTHONPATH = f"{SUPPORT}:{DATA}"
