"""A stage for tests of the reference: the fixture closes its platforms; scripts run in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from worldswitch.harness.contract import Options
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.scenarios.stage.stage import Stage

#: The beginning of a script: `stage` has a platform, `stage.guest` makes guests.
PREAMBLE = """
import os, signal, sys, threading
from worldswitch.harness.contract import Options, Syscall, WrongThread
from worldswitch.scenarios import guests
from worldswitch.scenarios.stage.stage import Stage
from worlds import Rehearsal
stage = Stage(Rehearsal())
"""


class Rehearsal:
    """A trial without a verdict."""

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


#: Python warns of a fork with threads, which is what these scripts are about.
QUIET = ("-W", "ignore::DeprecationWarning")


def start(script: str, **environment: str) -> subprocess.Popen[str]:
    """Start a Python process that runs the preamble and a script, with more in its environment."""
    return subprocess.Popen(
        [sys.executable, *QUIET, "-u", "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{PREAMBLE}{script}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, **environment},
        text=True,
    )
