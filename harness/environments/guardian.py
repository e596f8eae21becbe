"""A process in a session of its own that ends what the runner started, however the runner itself ends.

A guardian holds a pipe whose only writer is the runner.  Its end-of-file, which comes with the runner's death by any
signal, means: end everything.  It may hold a command: that is then its child, and as a child subreaper the guardian
inherits whatever the command's descendants leave behind, so that killing by descent reaches all of it, daemons that
forked twice included.  And it may hold a run (`holdings`), whose containers and folders it removes last.

The order of the end: the run's containers through the engine's own API, the command by SIGTERM and, after its grace,
by SIGKILL with all descendants, which are thawed if they are frozen, then the run's control groups and folders.  Each
step has a deadline; together they stay below 10 s.

Nobody may hold the writing end but the runner: it is close-on-exec, so a runner that forks must also exec.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import IO

PROCESS = "worldswitch.harness.environments.guardian_process"
RELEASE_SECONDS = 20.0  #: for a guardian's whole work, as the runner waits for it


@dataclass(frozen=True, slots=True)
class Orders:
    """What a guardian is to do, as it crosses the exec."""

    pipe: int
    command: tuple[str, ...] = ()
    grace: float = 0.0  #: seconds from SIGTERM to SIGKILL; without any, SIGKILL comes at once
    run: str = ""  #: the run whose holdings go at the end


class GuardedProcess:
    """A guardian at work, seen from the runner: a process with the command's exit status."""

    def __init__(
        self,
        command: Sequence[str] = (),
        *,
        grace: float = 0.0,
        run: str = "",
        env: Mapping[str, str] | None = None,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
        keep: Sequence[int] = (),
    ) -> None:
        """Start it; descriptors in `keep` stay open in the guardian, for the locks they carry."""
        reader, self._writer = os.pipe()
        orders = Orders(reader, tuple(command), grace, run)
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", PROCESS, json.dumps(asdict(orders))],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=env,
                pass_fds=[reader, *keep],
                start_new_session=True,
            )
        finally:
            os.close(reader)

    def release(self) -> int:
        """Have the guardian end everything; its exit status."""
        self._close()
        try:
            return self.process.wait(RELEASE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait(RELEASE_SECONDS)

    def __enter__(self) -> GuardedProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        for stream in (self.process.stdout, self.process.stderr):
            if stream:
                stream.close()

    def _close(self) -> None:
        if self._writer >= 0:
            os.close(self._writer)
        self._writer = -1

    def __del__(self) -> None:
        self._close()


def run(command: Sequence[str], deadline: float, *, env: Mapping[str, str] | None = None) -> str:
    """Run a command that must not outlive this process; its output, or CalledProcessError or TimeoutExpired."""
    with GuardedProcess(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as held:
        output, _ = held.process.communicate(timeout=deadline)
    text = str(output, errors="replace")
    if held.process.returncode:
        raise subprocess.CalledProcessError(held.process.returncode, command, text)
    return text


def error_lines(problem: subprocess.SubprocessError) -> str:
    """Return what a failed command said of its failure: its last lines that speak of an error, else its last ones."""
    output = problem.output if isinstance(problem, (subprocess.CalledProcessError, subprocess.TimeoutExpired)) else None
    text = output or str(problem)
    lines = [line.strip() for line in (text.decode(errors="replace") if isinstance(text, bytes) else text).splitlines()]
    telling = [line for line in lines if "error" in line.lower() and not line.startswith(("note:", "hint:"))]
    return " / ".join((telling or [line for line in lines if line])[-3:])
