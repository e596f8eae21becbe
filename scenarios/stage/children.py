"""Bounded work in a forked child process, for scenarios whose harness crashes, forks or changes its environment.

The child runs a function that receives one end of a `Line`, and ends without the parent's clean-up.  The function's
result or exception is sent to the parent::

    child = children.fork(stage, work)
    pid = child.hear(5)
    child.kill()
    assert child.wait(5).signal == SIGKILL

A child may run in a new PID namespace (`Namespace.PID`), as PID 1 and with a matching /proc.
"""

from __future__ import annotations

import ctypes
import enum
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TypeAlias

from worldswitch.harness.contract import PlatformError
from worldswitch.harness.verdict import OutOfTime, in_time
from worldswitch.scenarios.stage.stage import Stage

libc = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNS = 0x0002_0000  # <linux/sched.h>
CLONE_NEWPID = 0x2000_0000
MS_REC, MS_PRIVATE = 0x4000, 0x4_0000  # <linux/mount.h>
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # <linux/prctl.h>
WALL = 0x4000_0000  # __WALL


class Namespace(enum.Enum):
    """The namespaces a child runs in."""

    SAME = "same"
    PID = "pid"  #: PID 1 of a new PID namespace


class Line:
    """One end of a connection between parent and child; messages are picklable values."""

    def __init__(self, stage: Stage, connection: Connection) -> None:
        self._stage = stage
        self._connection = connection

    def send(self, message: object) -> None:
        """Send a message."""
        self._connection.send(message)

    def has_word(self) -> bool:
        """Whether a message, or the other end's close, can be received."""
        return self._connection.poll(0)

    def receive(self, seconds: float) -> object:
        """The next message, which must arrive in time."""
        in_time(self._connection.poll(self._stage.trial.seconds(seconds)), f"no message within {seconds} s")
        try:
            return self._connection.recv()
        except (EOFError, ConnectionError):
            raise AssertionError("the process at the other end died without a message") from None


Work: TypeAlias = Callable[[Line], object]


@dataclass(frozen=True)
class ChildStatus:
    """How a process ended: by a signal, or with an exit status."""

    signal: int
    status: int

    @classmethod
    def of(cls, wait_status: int) -> ChildStatus:
        """Decode a wait status."""
        if os.WIFSIGNALED(wait_status):
            return cls(os.WTERMSIG(wait_status), 0)
        return cls(0, os.WEXITSTATUS(wait_status))


@dataclass(frozen=True)
class _Success:
    value: object


@dataclass(frozen=True)
class _Failure:
    """A failure in a child, as text: exceptions may not be picklable."""

    kind: type[Exception]
    account: str

    @classmethod
    def of(cls, error: BaseException) -> _Failure:
        kind = next((base for base in (AssertionError, PlatformError) if isinstance(error, base)), RuntimeError)
        return cls(kind, f"{error}\nin a child process:\n{''.join(traceback.format_exception(error))}")


class Child:
    """The parent's side of a forked child."""

    def __init__(self, stage: Stage, pid: int, line: Line) -> None:
        self.pid = pid
        self.line = line
        self._stage = stage

    def hear(self, seconds: float) -> object:
        """The child's next message, in time; raises the child's failure if it failed instead."""
        message = self.line.receive(seconds)
        if isinstance(message, _Failure):
            raise message.kind(message.account)
        return message

    def result(self, seconds: float) -> object:
        """The result of the child's function, in time; raises the child's failure."""
        message = self.hear(seconds)
        assert isinstance(message, _Success), f"a message in place of the result: {message!r}"
        return message.value

    def kill(self) -> None:
        """Send SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self, seconds: float) -> ChildStatus:
        """Wait for the child to end, in time; how it ended."""
        deadline = time.monotonic() + self._stage.trial.seconds(seconds)
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return ChildStatus.of(status)
            time.sleep(0.002)
        raise OutOfTime(f"process {self.pid} still lives after {seconds} s")


def fork(stage: Stage, work: Work, namespace: Namespace = Namespace.SAME) -> Child:
    """Run `work` in a child process."""
    ours, theirs = multiprocessing.Pipe()
    pid = os.fork()
    if pid == 0:
        ours.close()
        _live(work, Line(stage, theirs), namespace)
    theirs.close()
    return Child(stage, pid, Line(stage, ours))


def run(stage: Stage, work: Work, seconds: float, namespace: Namespace = Namespace.SAME) -> object:
    """Run `work` in a child process to its end; its result, in time."""
    child = fork(stage, work, namespace)
    result = child.result(seconds)
    child.wait(seconds)
    return result


def become_subreaper() -> None:
    """Make orphaned descendants children of this process, so that `reap_all` finds them."""
    _call("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap_all(stage: Stage, seconds: float) -> None:
    """Reap children until none is left, in time.

    Only for a process that has no platform of its own: waiting for any child steals the platform's ptrace stops.
    """
    stage.wait_until(_reaped, seconds, "every descendant is gone")


def _reaped() -> bool:
    try:
        while os.waitpid(-1, os.WNOHANG | WALL)[0]:
            pass
    except ChildProcessError:
        return True
    return False


# ----------------------------------------------------------------------------------------------------- the child's side


def report(line: Line, work: Callable[[], object]) -> None:
    """Run `work` and send its result or failure, for `Child.result` in the parent."""
    try:
        line.send(_Success(work()))
    except BaseException as error:
        line.send(_Failure.of(error))


def _live(work: Work, line: Line, namespace: Namespace) -> None:
    def enter_and_work() -> object:
        _die_with_parent()
        if namespace is Namespace.PID:
            _enter_pid_namespace()
        return work(line)

    try:
        report(line, enter_and_work)
    finally:
        os._exit(0)


def _enter_pid_namespace() -> None:
    """Continue as PID 1 of a new namespace; the process outside exits with PID 1's status, as a shell reports it."""
    _call("unshare", CLONE_NEWPID | CLONE_NEWNS)
    pid = os.fork()
    if pid:
        ending = ChildStatus.of(os.waitpid(pid, 0)[1])
        os._exit(128 + ending.signal if ending.signal else ending.status)
    _die_with_parent()
    # Only this mount is remounted; in a chroot "/" need not be a mount point.
    _call("mount", b"none", b"/proc", None, MS_REC | MS_PRIVATE, None)
    _call("mount", b"proc", b"/proc", b"proc", 0, None)


def _die_with_parent() -> None:
    _call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _call(name: str, *arguments: object) -> None:
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
