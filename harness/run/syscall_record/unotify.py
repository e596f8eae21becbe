"""Which system calls a program and all it starts really make: the kernel asks before each, and is told to go on.

    install    the program's own process puts itself under a filter that notifies of everything (SECCOMP_RET_USER_NOTIF)
    fetch      we take a copy of the filter's listener out of that process, which waits at its next call
    listen     note each call, by whom, and have it made, until nobody is left

This takes no privilege, and no tracer: what is recorded traces others itself.  See seccomp_unotify(2).
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

from worldswitch.harness.environments.protocol import Say
from worldswitch.harness.linux import processes, ptrace, syscalls

NOTIFICATION = struct.Struct("=QIIiIQ6Q")  # struct seccomp_notif: id, pid, flags, number, architecture, ip, arguments
RESPONSE = struct.Struct("=QqiI")  # struct seccomp_notif_resp: id, value, error, flags
GO_ON = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
RECEIVE, SEND = 0xC0502100, 0xC0182101  # SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND
PIDFD_GETFD = 438  # include/uapi/asm-generic/unistd.h

START_SECONDS = 10.0
TELL_SECONDS = 30.0
SILENCE_SECONDS = 3600.0  #: more than any trial has, twenty times slower than else
HEADERS = Path("/usr/include")


class Unrecordable(Exception):
    """Calls cannot be recorded here: why."""


@dataclass(slots=True)
class Calls:
    """The numbers of the calls that were seen."""

    of_tracees: set[int] = field(default_factory=set)  #: in processes that somebody traced, as stubs are
    of_others: set[int] = field(default_factory=set)

    @property
    def all(self) -> set[int]:
        """Whoever made them."""
        return self.of_tracees | self.of_others

    def note(self, tid: int, number: int) -> None:
        """Add a call of a thread, which waits in it."""
        if number not in self.of_tracees or number not in self.of_others:
            (self.of_tracees if _is_traced(tid) else self.of_others).add(number)


def _is_traced(tid: int) -> bool:
    with suppress(OSError):
        return "\nTracerPid:\t0\n" not in Path(f"/proc/{tid}/status").read_text()
    return False


def record(command: Sequence[str], environment: dict[str, str], log: int, say: Say) -> tuple[Calls, int]:
    """Run a command, its output going to descriptor `log`: its calls, its exit status.  Raises `Unrecordable`."""
    calls = Calls()
    with _started(command, environment, log) as (pid, listener):
        _listen(listener, calls.note, lambda: say(f"{len(calls.all)} different calls so far"))
        return calls, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@contextmanager
def _started(command: Sequence[str], environment: dict[str, str], log: int) -> Iterator[tuple[int, int]]:
    told, tell = os.pipe()
    pid = processes.fork(lambda: _become(command, environment, log, tell))
    listener = -1
    try:
        os.close(tell)
        listener = _fetch(pid, _heard(told))
        yield pid, listener
    finally:
        os.close(told)
        processes.end(pid)
        if listener >= 0:
            os.close(listener)


def _lowest_free() -> int:
    free = os.dup(0)
    os.close(free)
    return free


def _heard(told: int) -> int:
    """Where the child's listener will be; -1 if it does not come to say so."""
    text = os.read(told, 32) if select.select([told], [], [], START_SECONDS)[0] else b""
    return int(text or b"-1")


def _become(command: Sequence[str], environment: dict[str, str], log: int, tell: int) -> None:
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.setsid()
    gc.disable()  # or what it closes would make another number the lowest free
    os.write(tell, str(_lowest_free()).encode())
    ptrace.notify_of_everything()
    os.execvpe(command[0], list(command), environment)


def _fetch(pid: int, theirs: int) -> int:
    """Take a copy of the listener, once it is there."""
    pidfd = os.pidfd_open(pid)
    end = time.monotonic() + START_SECONDS
    try:
        while time.monotonic() < end:
            with suppress(OSError):
                copy = syscalls.syscall(PIDFD_GETFD, pidfd, theirs, 0)
                if "seccomp notify" in os.readlink(f"/proc/self/fd/{copy}"):  # noqa: PTH115 - it is no path
                    return copy
                os.close(copy)
            if select.select([pidfd], [], [], 0.002)[0]:
                break
    finally:
        os.close(pidfd)
    raise Unrecordable(
        "a filter that notifies (SECCOMP_RET_USER_NOTIF) cannot be installed, or its listener cannot be had: that "
        "takes Linux 5.6, and that nobody has forbidden seccomp(2) or pidfd_getfd(2)"
    )


def _listen(listener: int, note: Callable[[int, int], None], tell: Callable[[], None]) -> None:
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    told = time.monotonic()
    while True:
        if time.monotonic() > told + TELL_SECONDS:
            told = time.monotonic()
            tell()
        ready = poll.poll(SILENCE_SECONDS * 1000)
        if not ready:
            raise Unrecordable(f"no call was made for {SILENCE_SECONDS:g} s: what was recorded hangs")
        if not ready[0][1] & select.POLLIN:
            return  # nobody is left whom the filter is for
        notification = bytearray(NOTIFICATION.size)
        try:
            fcntl.ioctl(listener, RECEIVE, notification)
            id_, tid, _, number, *_ = NOTIFICATION.unpack(notification)
            note(tid, number)
            fcntl.ioctl(listener, SEND, bytearray(RESPONSE.pack(id_, 0, 0, GO_ON)))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EINTR):  # it died, or a signal took it out of the call
                raise


def names() -> dict[int, str]:
    """What the calls of this machine are called, by number, from the C library's headers.  Raises `Unrecordable`."""
    for header in sorted(HEADERS.glob("**/asm/unistd_64.h")):
        found = re.findall(r"^#define __NR_(\w+) (\d+)$", header.read_text(), re.MULTILINE)
        return {int(number): name for name, number in found}
    raise Unrecordable(f"there is no asm/unistd_64.h in {HEADERS}, which says what calls are called: linux-libc-dev")
