"""The guardian: a process in its own session that cleans up after the runner, even if the runner is killed.

The guardian reads a pipe whose only writer is the runner; end-of-file means that the runner died or asked for the
cleanup.  The guardian may run a command.  It is that command's parent and a child subreaper, so it inherits every
orphaned descendant, daemons that forked twice included, and can kill all of them.  It may also own a run
(`run_resources`), whose containers and folders it removes.

Cleanup order; each step has a deadline, and all of them together take less than 10 s:

1. remove the run's containers through the engine's API;
2. send SIGTERM to the command and, after `grace` seconds, SIGKILL to all descendants, thawing frozen ones;
3. remove the run's control groups and folders.

The runner must hold the only write end of the pipe: it is close-on-exec, so a runner that forks must also exec.
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
RELEASE_SECONDS = 20.0  #: the runner's limit for the whole cleanup


@dataclass(frozen=True, slots=True)
class Orders:
    """A guardian's parameters, passed as JSON on its command line."""

    pipe: int  #: descriptor of the read end
    command: tuple[str, ...] = ()
    grace: float = 0.0  #: seconds from SIGTERM to SIGKILL; 0 sends SIGKILL at once
    run: str = ""  #: id of the run to remove at the end; empty for none


class GuardedProcess:
    """The runner's handle of a guardian; `process` exits with the command's status."""

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
        """Start the guardian; it inherits the descriptors in `keep` and the locks on them."""
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
        """Start the cleanup, wait for it and return the exit status."""
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
    """Run a command that must not outlive this process; returns its output.

    Raises CalledProcessError, or TimeoutExpired after `deadline` seconds.
    """
    with GuardedProcess(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as guarded:
        output, _ = guarded.process.communicate(timeout=deadline)
    text = str(output, errors="replace")
    if guarded.process.returncode:
        raise subprocess.CalledProcessError(guarded.process.returncode, command, text)
    return text


def error_lines(problem: subprocess.SubprocessError) -> str:
    """Return up to three lines of a failed command's output: the last that mention an error, else the last."""
    output = problem.output if isinstance(problem, (subprocess.CalledProcessError, subprocess.TimeoutExpired)) else None
    text = output or str(problem)
    lines = [line.strip() for line in (text.decode(errors="replace") if isinstance(text, bytes) else text).splitlines()]
    errors = [line for line in lines if "error" in line.lower() and not line.startswith(("note:", "hint:"))]
    return " / ".join((errors or [line for line in lines if line])[-3:])
