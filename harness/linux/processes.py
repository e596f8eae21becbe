"""Who descends from this process, and how to be rid of them.

A process group or session does not hold what a trial starts, since stubs leave it.  A child subreaper does: whoever
loses its parent becomes a child of the nearest one, so everything a trial ever started stays below its supervisor.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from worldswitch.harness.linux import cgroups, syscalls


@dataclass(frozen=True, slots=True)
class Process:
    """One line of the process table."""

    pid: int
    parent: int
    name: str
    state: str
    threads: int

    @property
    def alive(self) -> bool:
        """A group leader that exited is a zombie to look at while other threads of its process run on."""
        return self.state not in "ZX" or self.threads > 1

    def __str__(self) -> str:
        return f"process {self.pid} ({self.name}, state {self.state}, {self.threads} threads)"


def _read(pid: str) -> Process | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            head, _, tail = file.read().decode(errors="replace").rpartition(")")
    except OSError:
        return None  # it ended meanwhile
    fields = tail.split()
    return Process(int(pid), int(fields[1]), head.partition("(")[2], fields[0], int(fields[17]))


def descendants(of: int) -> dict[int, Process]:
    """Every process below `of`, which is not among them.

    Only a scan of all of /proc is right on every kernel: /proc/PID/task/TID/children is a build option.
    """
    return _below(of, (pid for pid, _ in _listing()))


class Newcomers:
    """Who came to be below this process since this was made.

    Reading a line for each process of the machine, several times a trial, would cost more than most trials do.  What
    was there before need not be read again: the inode of its folder tells it from one that has got its number since.
    """

    def __init__(self) -> None:
        self._before = _listing()

    def look(self) -> dict[int, Process]:
        """Those below this process now, by way of others that are new."""
        return _below(os.getpid(), (pid for pid, _ in _listing() - self._before))


def _listing() -> set[tuple[str, int]]:
    """The number and the folder's inode of each process."""
    with os.scandir("/proc") as entries:
        return {(entry.name, entry.inode()) for entry in entries if entry.name.isdigit()}


def _below(of: int, pids: Iterable[str]) -> dict[int, Process]:
    children: dict[int, list[Process]] = {}
    for pid in pids:
        if process := _read(pid):
            children.setdefault(process.parent, []).append(process)
    found: dict[int, Process] = {}
    queue = [of]
    while queue:
        below = [process for process in children.get(queue.pop(), ()) if process.pid not in found]
        found.update((process.pid, process) for process in below)
        queue.extend(process.pid for process in below)
    return found


@contextlib.contextmanager
def subreaper() -> Iterator[None]:
    """Adopt every orphan among this process's descendants."""
    # An inherited SIG_IGN would have the kernel reap for us and lose every status.
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    before = syscalls.is_subreaper()
    syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, before)


def reap(pid: int) -> int | None:
    """The wait status of `pid` if it is a child of ours that ended."""
    try:
        reaped, status = os.waitpid(pid, os.WNOHANG | syscalls.WALL)
    except ChildProcessError:
        return None
    return status if reaped else None


def wait_until(condition: Callable[[], object], seconds: float) -> bool:
    """Look until `condition` holds, at growing intervals; False if it did not within `seconds`."""
    end = time.monotonic() + seconds
    pause = 0.0005
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(pause)
        pause = min(2 * pause, 0.02)
    return True


def census(look: Callable[[], dict[int, Process]]) -> dict[int, Process]:
    """Who is there, once two looks agree on it.

    A look is no moment: after the listing, a process may fork and end before its line is read, and neither it nor its
    child is seen alive.  The next look begins later and sees the child.
    """
    found = look()
    for _ in range(100):  # a fork storm never agrees, but then somebody is seen alive
        before, found = found, look()
        if {pid: it.alive for pid, it in before.items()} == {pid: it.alive for pid, it in found.items()}:
            break
    return found


def kill_all(look: Callable[[], dict[int, Process]], seconds: float) -> list[Process]:
    """Kill and reap what `look` finds until it finds nothing; what withstands is returned."""

    def gone() -> bool:
        found = census(look)
        for process in found.values():
            if process.alive:
                cgroups.release(process.pid)
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(process.pid, signal.SIGKILL)
            reap(process.pid)
        return not found

    wait_until(gone, seconds)
    return list(look().values())
