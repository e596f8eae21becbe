"""A pseudo terminal, whose control keys send signals to its foreground process group."""

from __future__ import annotations

import fcntl
import os
import signal
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

#: The signals of the keys ^C, ^Z and ^\.
KEYS = {b"\x03": signal.SIGINT, b"\x1a": signal.SIGTSTP, b"\x1c": signal.SIGQUIT}
SUSPEND = b"\x1a"


@dataclass(frozen=True)
class Terminal:
    """The keyboard end and the program end."""

    keyboard: int
    line: int

    def become_controlling(self) -> None:
        """Make it the controlling terminal of this process, in a new session and in the foreground."""
        os.setsid()
        fcntl.ioctl(self.line, termios.TIOCSCTTY, 0)

    def bring_to_foreground(self, job: int) -> None:
        """Move another process of the session into its own group, in the foreground."""
        os.setpgid(job, job)
        os.tcsetpgrp(self.line, job)

    def type(self, key: bytes) -> None:
        """Press a key."""
        os.write(self.keyboard, key)


@contextmanager
def a_terminal() -> Iterator[Terminal]:
    """A terminal that controls no session yet."""
    terminal = Terminal(*os.openpty())
    try:
        yield terminal
    finally:
        os.close(terminal.keyboard)
        os.close(terminal.line)
