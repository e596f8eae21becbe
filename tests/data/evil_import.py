"""A platform that attacks while it is imported, in the way that the environment variable EVIL names."""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
import time

import evil
from fakes import Passes as Platform

__all__ = ["Platform"]


def exits() -> None:
    os._exit(0)


def interrupts() -> None:
    raise KeyboardInterrupt


def raises_a_base() -> None:
    raise BaseException("nothing else")


def raises_five_megabytes() -> None:
    raise RuntimeError("x" * 5_000_000)


def raises_escapes() -> None:
    raise RuntimeError(evil.ESCAPES)


def raises_without_words() -> None:
    raise evil._Wordless


def prints_escapes_and_dies() -> None:
    os.write(2, b"\x1b[2J\x1b]0;owned\x07 the end")
    os._exit(3)


def kills_its_parent() -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(5)


def kills_its_group() -> None:
    os.kill(0, signal.SIGKILL)


def closes_every_descriptor() -> None:
    os.closerange(0, 1 << 16)


def limits_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))


def limits_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def changes_its_process() -> None:
    evil.ATTACKS["changes_its_process"](None)  # type: ignore[arg-type]


def prints_a_lot() -> None:
    evil.ATTACKS["prints_without_end"](None)  # type: ignore[arg-type]


def starts_a_thread() -> None:
    threading.Thread(target=threading.Event().wait).start()


def leaves_a_daemon() -> None:
    evil.ATTACKS["leaves_a_daemon"](None)  # type: ignore[arg-type]


def leaves_a_chain() -> None:
    evil.ATTACKS["leaves_a_chain"](None)  # type: ignore[arg-type]


def stops_the_clock() -> None:
    now = time.monotonic()
    time.monotonic = lambda: now


def replaces_the_judge() -> None:
    from worldswitch.harness.cell import attribution

    attribution.judge.__code__ = (lambda phases, owners: None).__code__


def replaces_fork() -> None:
    os.fork = os.waitpid = os._exit = sys.exit  # type: ignore[assignment]


globals()[os.environ["EVIL"]]()
