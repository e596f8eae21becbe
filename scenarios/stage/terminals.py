"""A pseudo terminal: who types at it sends signals to whoever is in its foreground."""

from __future__ import annotations

import fcntl
import os
import signal
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

#: What the keys ^C, ^Z and ^\ send.
KEYS = {b"\x03": signal.SIGINT, b"\x1a": signal.SIGTSTP, b"\x1c": signal.SIGQUIT}
SUSPEND = b"\x1a"


@dataclass(frozen=True)
class Terminal:
    """The end where somebody types, and the end where programs are."""

    keyboard: int
    line: int

    def become_controlling(self) -> None:
        """Give it to this process, as the first of a new session, which is in its foreground then."""
        os.setsid()
        fcntl.ioctl(self.line, termios.TIOCSCTTY, 0)

    def bring_to_foreground(self, job: int) -> None:
        """Let another process of the session have the keys, in a group of its own."""
        os.setpgid(job, job)
        os.tcsetpgrp(self.line, job)

    def type(self, key: bytes) -> None:
        """Press a key."""
        os.write(self.keyboard, key)


@contextmanager
def a_terminal() -> Iterator[Terminal]:
    """A terminal that nobody controls yet."""
    terminal = Terminal(*os.openpty())
    try:
        yield terminal
    finally:
        os.close(terminal.keyboard)
        os.close(terminal.line)
