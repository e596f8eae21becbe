"""Records the system calls of a program and all its descendants by seccomp user notification.

    install    the program's process installs a filter that notifies of every call (SECCOMP_RET_USER_NOTIF)
    fetch      the recorder copies the filter's listener out of that process, which waits at its next call
    listen     it notes each call and its thread, and lets it continue, until no process is left

This needs neither privilege nor a tracer, so the recorded program can trace.  See seccomp_unotify(2).
"""

from __future__ import annotations

import errno
import fcntl
import gc
import os
import re
import select
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from worldswitch.harness.environments.protocol import Say
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.linux import processes, ptrace, syscalls

NOTIFICATION = struct.Struct("=QIIiIQ6Q")  # struct seccomp_notif: id, pid, flags, number, architecture, ip, arguments
RESPONSE = struct.Struct("=QqiI")  # struct seccomp_notif_resp: id, value, error, flags
GO_ON = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
RECEIVE, SEND = 0xC0502100, 0xC0182101  # SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND
PIDFD_GETFD = 438  # include/uapi/asm-generic/unistd.h

START_SECONDS = 10.0
PROGRESS_SECONDS = 30.0
SILENCE_SECONDS = 3600.0  #: longer than any trial that runs twenty times slower
HEADERS = Path("/usr/include")


#: Takes a call: the thread, which is blocked in it, the number, the architecture and the arguments.
Note: TypeAlias = Callable[[int, int, int, tuple[int, ...]], None]


class Unrecordable(CouldNotRun):
    """Calls cannot be recorded here; the message says why."""


@dataclass(slots=True)
class Calls:
    """The numbers of the recorded calls."""

    of_tracees: set[int] = field(default_factory=set)  #: by traced threads, such as stubs
    of_others: set[int] = field(default_factory=set)

    @property
    def all(self) -> set[int]:
        """The calls of all threads."""
        return self.of_tracees | self.of_others

    def note(self, tid: int, number: int, *_: object) -> None:
        """Add a call of a thread, which is blocked in it."""
        if number not in self.of_tracees or number not in self.of_others:
            (self.of_tracees if _is_traced(tid) else self.of_others).add(number)


def _is_traced(tid: int) -> bool:
    with suppress(OSError):
        return "\nTracerPid:\t0\n" not in Path(f"/proc/{tid}/status").read_text()
    return False


def record(command: Sequence[str], environment: dict[str, str], log: int, say: Say) -> tuple[Calls, int]:
    """Run a command with its output to descriptor `log`; return its calls and exit status.  Raises `Unrecordable`."""
    calls = Calls()
    status = follow(command, environment, log, calls.note, lambda: say(f"{len(calls.all)} different calls so far"))
    return calls, status


def follow(
    command: Sequence[str], environment: dict[str, str], log: int, note: Note, progress: Callable[[], None]
) -> int:
    """Run a command with its output to descriptor `log`, and note each call; return its exit status."""
    with _started(command, environment, log) as (pid, listener):
        listen(listener, note, progress)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@contextmanager
def _started(command: Sequence[str], environment: dict[str, str], log: int) -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    pid = processes.fork(lambda: _become(command, environment, log, writer))
    listener = -1
    try:
        os.close(writer)
        listener = _fetch(pid, _listener_number(reader))
        yield pid, listener
    finally:
        os.close(reader)
        processes.end(pid)
        if listener >= 0:
            os.close(listener)


def _listener_number(reader: int) -> int:
    """Return the descriptor that the child's listener will have; -1 if the child does not report it in time."""
    text = os.read(reader, 32) if select.select([reader], [], [], START_SECONDS)[0] else b""
    return int(text or b"-1")


def _become(command: Sequence[str], environment: dict[str, str], log: int, writer: int) -> None:
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.setsid()
    gc.disable()  # a collection could close a descriptor and make another number the lowest free one
    lowest_free = os.dup(0)
    os.close(lowest_free)
    os.write(writer, str(lowest_free).encode())
    ptrace.notify_of_everything()
    os.execvpe(command[0], list(command), environment)


def _fetch(pid: int, theirs: int) -> int:
    """Wait for the listener and copy it into this process."""
    pidfd = os.pidfd_open(pid)
    end = time.monotonic() + START_SECONDS
    try:
        while time.monotonic() < end:
            with suppress(OSError):
                copy = syscalls.syscall(PIDFD_GETFD, pidfd, theirs, 0)
                if "seccomp notify" in os.readlink(f"/proc/self/fd/{copy}"):  # noqa: PTH115 - not a path
                    return copy
                os.close(copy)
            if select.select([pidfd], [], [], 0.002)[0]:
                break
    finally:
        os.close(pidfd)
    raise Unrecordable(
        "a filter with SECCOMP_RET_USER_NOTIF cannot be installed, or its listener cannot be copied: this needs "
        "Linux 5.6, and a sandbox that allows seccomp(2) and pidfd_getfd(2)"
    )


def listen(listener: int, note: Note, progress: Callable[[], None]) -> None:
    """Note the calls of a filter's listener until no process under the filter is left."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    reported = time.monotonic()
    while True:
        if time.monotonic() > reported + PROGRESS_SECONDS:
            reported = time.monotonic()
            progress()
        ready = poll.poll(SILENCE_SECONDS * 1000)
        if not ready:
            raise Unrecordable(f"no call was made for {SILENCE_SECONDS:g} s: the recorded program hangs")
        if not ready[0][1] & select.POLLIN:
            return  # no process under the filter is left
        notification = bytearray(NOTIFICATION.size)
        try:
            fcntl.ioctl(listener, RECEIVE, notification)
            id_, tid, _, number, architecture, _, *arguments = NOTIFICATION.unpack(notification)
            note(tid, number, architecture, tuple(arguments))
            fcntl.ioctl(listener, SEND, bytearray(RESPONSE.pack(id_, 0, 0, GO_ON)))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EINTR):  # the thread died, or a signal interrupted the call
                raise


def names() -> dict[int, str]:
    """Return the names of this machine's system calls by number, from the headers.  Raises `Unrecordable`."""
    for header in sorted(HEADERS.glob("**/asm/unistd_64.h")):
        found = re.findall(r"^#define __NR_(\w+) (\d+)$", header.read_text(), re.MULTILINE)
        return {int(number): name for name, number in found}
    raise Unrecordable(f"{HEADERS} has no asm/unistd_64.h (system call names): install linux-libc-dev")
