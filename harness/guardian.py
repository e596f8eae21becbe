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
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import IO

from worldswitch.harness import control_groups, holdings, processes, syscalls

RELEASE_SECONDS = 20.0  #: for a guardian's whole work, as the runner waits for it


@dataclass(frozen=True, slots=True)
class Orders:
    """What a guardian is to do, as it crosses the exec."""

    pipe: int
    command: tuple[str, ...] = ()
    grace: float = 0.0  #: seconds from SIGTERM to SIGKILL; without any, SIGKILL comes at once
    run: str = ""  #: the run whose holdings go at the end


class Held:
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
                [sys.executable, "-P", "-m", __name__, json.dumps(asdict(orders))],
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

    def __enter__(self) -> Held:
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
    with Held(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as held:
        output, _ = held.process.communicate(timeout=deadline)
    text = str(output, errors="replace")
    if held.process.returncode:
        raise subprocess.CalledProcessError(held.process.returncode, command, text)
    return text


def last_words(problem: subprocess.SubprocessError) -> str:
    """Return what a failed command said of its failure: its last lines that speak of an error, else its last ones."""
    output = problem.output if isinstance(problem, (subprocess.CalledProcessError, subprocess.TimeoutExpired)) else None
    text = output or str(problem)
    lines = [line.strip() for line in (text.decode(errors="replace") if isinstance(text, bytes) else text).splitlines()]
    telling = [line for line in lines if "error" in line.lower() and not line.startswith(("note:", "hint:"))]
    return " / ".join((telling or [line for line in lines if line])[-3:])


# ------------------------------------------------------------------------------------------- in the guardian itself


class Guardian:
    """What runs in the process of its own."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._alarm = self._wake_on_signals()
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        self._command = self._start() if orders.command else 0
        self._status = 0

    def watch(self) -> int:
        """Wait for the runner's end, the command's, or a signal to us; then end everything."""
        poll = select.poll()
        poll.register(self._orders.pipe, select.POLLIN)
        poll.register(self._alarm, select.POLLIN)
        while not self._is_over({fd for fd, _ in poll.poll()}):
            pass
        self._end()
        return self._status

    def _is_over(self, ready: set[int]) -> bool:
        ended = self._orders.pipe in ready and not os.read(self._orders.pipe, 4096)
        if self._alarm in ready:
            ended |= any(signo != signal.SIGCHLD for signo in os.read(self._alarm, 4096))
        self._reap()
        return ended or (bool(self._orders.command) and not self._command)

    def _wake_on_signals(self) -> int:
        """Have SIGCHLD and the signals that would end us written to a pipe instead."""
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for signo in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(signo, lambda *_: None)
        signal.set_wakeup_fd(writer)
        return reader

    def _start(self) -> int:
        guardian = os.getpid()
        return processes.fork(lambda: self._become_the_command(guardian))

    def _become_the_command(self, guardian: int) -> None:
        syscalls.die_with_parent(guardian, signal.SIGKILL)
        for signo in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(signo, signal.SIG_DFL)
        try:
            os.execvp(self._orders.command[0], self._orders.command)
        except OSError as problem:
            print(f"{self._orders.command[0]}: {problem.strerror}", file=sys.stderr, flush=True)
            os._exit(127)

    def _reap(self) -> bool:
        """Collect who has died; whether anybody is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if not pid:
                return True
            if pid == self._command:
                self._command = 0
                code = os.waitstatus_to_exitcode(status)
                self._status = code if code >= 0 else 128 - code

    def _end(self) -> None:
        try:
            if self._orders.run:
                holdings.remove_containers(self._orders.run)
        finally:
            self._end_processes()
            if self._orders.run:
                holdings.remove(self._orders.run)

    def _end_processes(self) -> None:
        if self._command and self._orders.grace:
            os.kill(self._command, signal.SIGTERM)
            self._wait(self._orders.grace, lambda: not self._command)
        deadline = time.monotonic() + holdings.KILL_SECONDS
        while self._reap() and time.monotonic() < deadline:
            for process in processes.descendants(os.getpid()).values():
                control_groups.release(process.pid)
                processes.kill(process)
            self._pause()
        control_groups.clear()

    def _wait(self, seconds: float, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + seconds
        while self._reap() and not done() and time.monotonic() < deadline:
            self._pause()

    def _pause(self) -> None:
        """Until a child has died, or a moment has passed: not every death below us is a child's."""
        if select.select([self._alarm], [], [], 0.05)[0]:
            os.read(self._alarm, 4096)


def main() -> int:
    """Follow the orders on the command line."""
    orders = json.loads(sys.argv[1])
    return Guardian(Orders(**orders)).watch()


if __name__ == "__main__":
    sys.exit(main())
