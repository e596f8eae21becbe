"""Takes the steps of a probe in a child process, and names the step that fails.

A filter may kill the caller of any step, so a step's name is written before it is taken.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from worldswitch.harness.linux import processes, syscalls
from worldswitch.harness.linux.ptrace import FAKED

Step: TypeAlias = tuple[str, Callable[[], object]]


@dataclass(frozen=True, slots=True)
class Failure:
    """The step that failed: its name, and the errno or the signal that ended it."""

    step: str
    errno: int = 0
    signo: int = 0

    @property
    def denied(self) -> bool:
        """True if the answer is one by which policies deny: EPERM, EACCES, or a kill by a filter."""
        return self.errno in (errno.EPERM, errno.EACCES) or self.signo == signal.SIGSYS

    @property
    def answer(self) -> str:
        """The name of the errno, ``0`` for a false success, or how the process ended."""
        if self.errno == FAKED:
            return "0"
        return f"killed by signal {self.signo}" if self.signo else errno.errorcode.get(self.errno, str(self.errno))

    def __str__(self) -> str:
        meaning = f" ({os.strerror(self.errno)})" if self.errno in errno.errorcode else ""
        meaning = " (a success that cannot be)" if self.errno == FAKED else meaning
        return f"{self.step}: {self.answer}{meaning}"


def first_failure(steps: Callable[[], Iterable[Step]]) -> Failure | None:
    """Take the steps in order, in one child, up to the first that fails; None if none does.

    It has no deadline: the probe has one.
    """
    reader, writer = os.pipe()
    pid = processes.fork(lambda: _take(steps(), writer))
    os.close(writer)
    with open(reader, "rb") as pipe:
        taken = pipe.read().decode().splitlines()
    _, status = os.waitpid(pid, syscalls.WALL)
    last = taken[-1] if taken else "the first step"
    code = os.waitstatus_to_exitcode(status)
    if code == processes.RAISED:
        raise RuntimeError(f"{last}: the child raised an exception; its traceback was printed")
    return Failure(last, signo=-code) if code < 0 else Failure(last, code) if code else None


def _take(steps: Iterable[Step], writer: int) -> None:
    for name, step in steps:
        os.write(writer, f"{name}\n".encode())
        step()
