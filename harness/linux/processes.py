"""Who descends from this process, and how to be rid of them.

A process group or session does not hold what a trial starts, since stubs leave it.  A child subreaper does: whoever
loses its parent becomes a child of the nearest one, so everything a trial ever started stays below its supervisor.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from worldswitch.harness.linux import cgroups, syscalls

CHILD_SECONDS = 5.0  #: for a child to do what it was forked for, or to end once it was killed

RAISED = 255  #: the exit status of a child that raised what has no errno, of which none is as high

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Process:
    """One line of the process table."""

    pid: int
    parent: int
    name: str
    state: str
    threads: int
    started: int  #: in clock ticks since boot, which tells it from another that has its pid later

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
    return Process(int(pid), int(fields[1]), head.partition("(")[2], fields[0], int(fields[17]), int(fields[19]))


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


def how_ended(status: int) -> str:
    """What a wait status says of the end of a process, as results have it: by numbers."""
    code = os.waitstatus_to_exitcode(status)
    return f"killed by signal {-code}" if code < 0 else f"exited with status {code}"


def reap(pid: int) -> int | None:
    """The wait status of `pid` if it is a child of ours that ended."""
    try:
        reaped, status = os.waitpid(pid, os.WNOHANG | syscalls.WALL)
    except ChildProcessError:
        return None
    return status if reaped else None


@contextlib.contextmanager
def pidfd(pid: int) -> Iterator[int | None]:
    """A descriptor that means this process and no later one of its pid; None where the kernel gives none."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:  # Linux before 5.3, a filter, or no such process
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def kill(process: Process) -> None:
    """Send SIGKILL to the process, and to no other that has its pid by now."""
    kill_if(process.pid, lambda pid: (now := _read(str(pid))) is not None and now.started == process.started)


def kill_if(pid: int, is_ours: Callable[[int], bool]) -> None:
    """Send SIGKILL to the process that has `pid` now if `is_ours` holds of it; none if there is none or we may not.

    A pidfd is opened first: should the process end after it was looked at, the signal goes nowhere.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError), pidfd(pid) as descriptor:
        if is_ours(pid):
            _send_kill(pid, descriptor)


def _send_kill(pid: int, descriptor: int | None) -> None:
    if descriptor is None:
        os.kill(pid, signal.SIGKILL)
        return
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except ProcessLookupError:
        raise
    except OSError:  # a filter that knows only pidfd_open(2)
        os.kill(pid, signal.SIGKILL)


def fork(work: Callable[[], object]) -> int:
    """Call `work` in a child and return the child's pid.

    The child exits with 0, with the errno of an OSError, or with `RAISED` after a traceback.  It never unwinds into the
    frames of the caller, which it has too.
    """
    pid = os.fork()
    if pid:
        return pid
    status = RAISED
    try:
        work()
        status = 0
    except OSError as error:
        status = error.errno or RAISED
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def call_in_child(work: Callable[[], object], seconds: float = CHILD_SECONDS) -> None:
    """Call `work` in a child; raises the OSError that it raised, by its errno, and one that says that it was killed."""
    child = fork(work)
    try:
        ended = wait_until(lambda: _ended(child), seconds)
    finally:
        end(child)
    if not ended:
        raise TimeoutError(errno.ETIMEDOUT, f"a child did not exit within {seconds:g} s")
    if ended.si_code != os.CLD_EXITED:
        raise OSError(0, f"a child was killed by signal {ended.si_status}")
    if ended.si_status == RAISED:
        raise RuntimeError("a child raised an exception; its traceback was printed")
    if ended.si_status:
        raise OSError(ended.si_status, os.strerror(ended.si_status))


def end(child: int, seconds: float = CHILD_SECONDS) -> None:
    """Kill and reap a child within `seconds`; does nothing if it was reaped, for its pid may be another's by now."""
    with contextlib.suppress(ChildProcessError):
        _ended(child)
        os.kill(child, signal.SIGKILL)
        wait_until(lambda: _ended(child, 0), seconds)


def _ended(child: int, flags: int = os.WNOWAIT) -> os.waitid_result | None:
    """How a child ended, if it has; stops of a tracee are no end.  Raises ChildProcessError once it was reaped."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | syscalls.WALL | flags)


def wait_until(condition: Callable[[], T], seconds: float) -> T:
    """Call `condition` until it returns something true, at growing intervals; returns what it did within `seconds`."""
    deadline = time.monotonic() + seconds
    pause = 0.0005
    while not (found := condition()) and time.monotonic() <= deadline:
        time.sleep(pause)
        pause = min(2 * pause, 0.02)
    return found


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
                kill(process)
            reap(process.pid)
        return not found

    wait_until(gone, seconds)
    return list(look().values())
