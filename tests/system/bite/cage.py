"""Runs a function in namespaces of its own, whose end ends every process that it made.

A change of the reference may send a signal to pid -1, fill the folder for temporary files or the memory, or never end.
In a PID namespace it reaches only its own processes, and a mount namespace has a small tmpfs as that folder.
"""

from __future__ import annotations

import ctypes
import os
import resource
import selectors
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from worldswitch.harness.linux import processes, syscalls

_libc = ctypes.CDLL(None, use_errno=True)

TMPFS_BYTES = "512m"
DATA_BYTES = 4 << 30  #: of a process


def problem() -> str:
    """Why there can be no cage here; empty if there can."""
    if os.geteuid() != 0:
        return "it needs root: a change of the reference may kill any process, so each runs in namespaces of its own"
    try:
        run(lambda: b"", Path("/tmp"), 20.0)
    except OSError as error:
        return f"no PID and mount namespaces here: {error}"
    return ""


def run(work: Callable[[], bytes], temporary: Path, seconds: float) -> bytes | None:
    """Return what `work` returned, None if it died or had not ended within `seconds`.  Raises `OSError`."""
    return Cage(work, temporary).result(time.monotonic() + seconds)


class Cage:
    """A function that runs in namespaces of its own."""

    def __init__(self, work: Callable[[], bytes], temporary: Path) -> None:
        self._closed = False
        self._receive, send = os.pipe()
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._receive)
            _keeper(work, temporary, send, parent)
        os.close(send)

    def result(self, end: float) -> bytes | None:
        """Return what the function returned, None if it died or had not ended at `end`.  Raises `OSError`."""
        try:
            said = self._read(end)
        finally:
            self.close()
        if said.startswith(b"!"):
            raise OSError(said[1:].decode())
        return said[1:-1] if said.startswith(b"=") and said.endswith(b".") else None

    def close(self) -> None:
        """End all of its processes; may be repeated."""
        if not self._closed:
            self._closed = True
            os.close(self._receive)
            processes.end(self._pid)

    def _read(self, end: float) -> bytes:
        said = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._receive, selectors.EVENT_READ)
            while (remaining := end - time.monotonic()) > 0:
                if selector.select(remaining):
                    part = os.read(self._receive, 1 << 16)
                    if not part:
                        break
                    said += part
        return said


def _keeper(work: Callable[[], bytes], temporary: Path, send: int, parent: int) -> NoReturn:
    """Make the namespaces, and wait for the init process of the new one, which ends with this process."""
    try:
        syscalls.die_with_parent(parent, signal.SIGKILL)
        syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID)
        syscalls.make_mounts_private()
        if os.fork() == 0:
            _init(work, temporary, send)
        os.close(send)
        os.wait()
    except OSError as error:
        os.write(send, f"!{error}".encode())
    finally:
        os._exit(0)


def _init(work: Callable[[], bytes], temporary: Path, send: int) -> NoReturn:
    """The first process of the namespace: the kernel kills the others when it ends."""
    try:
        _libc.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        _mount("proc", "/proc", "")
        _mount("tmpfs", str(temporary), f"size={TMPFS_BYTES}")
        pid = os.fork()
        if pid == 0:
            _inside(work, temporary, send)
        os.close(send)
        while os.wait()[0] != pid:  # orphans too
            pass
    except OSError as error:
        os.write(send, f"!{error}".encode())
    finally:
        os._exit(0)


def _mount(kind: str, target: str, options: str) -> None:
    if _libc.mount(kind.encode(), target.encode(), kind.encode(), 0, options.encode()):
        raise OSError(ctypes.get_errno(), f"mount of a {kind} at {target}")


def _inside(work: Callable[[], bytes], temporary: Path, send: int) -> NoReturn:
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_DATA, (DATA_BYTES, DATA_BYTES))
        os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
        syscalls.write_all(send, b"=" + work() + b".")
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(0)
