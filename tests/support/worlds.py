"""A stage for the reference's own tests: platforms that are closed, guests that are ready, scripts that end in time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from worldswitch.harness.contract import Options
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.scenarios.stage.stage import Stage

#: What a script starts with: `stage` has a platform, `stage.guest` makes guests.
PREAMBLE = """
import os, signal, sys, threading
from worldswitch.harness.contract import Options, Syscall, WrongThread
from worldswitch.scenarios import guests
from worldswitch.scenarios.stage.stage import Stage
from worlds import Rehearsal
stage = Stage(Rehearsal())
"""


class Rehearsal:
    """A trial that nobody judges."""

    repeat = 1

    def __init__(self) -> None:
        self.platforms: list[PtracePlatform] = []

    def platform(self, options: Options | None = None) -> PtracePlatform:
        self.platforms.append(PtracePlatform(options))
        return self.platforms[-1]

    def seconds(self, seconds: float) -> float:
        return 4 * seconds

    def note(self, text: str) -> None:
        pass


@pytest.fixture
def stage() -> Iterator[Stage]:
    rehearsal = Rehearsal()
    yield Stage(rehearsal)
    for platform in rehearsal.platforms:
        platform.close()


def start(script: str, **environment: str) -> subprocess.Popen[str]:
    """A Python of its own that runs a script, after the preamble, with more in its environment."""
    return subprocess.Popen(
        [sys.executable, "-u", "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{PREAMBLE}{script}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, **environment},
        text=True,
    )
