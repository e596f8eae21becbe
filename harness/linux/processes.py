"""The descendants of this process: how to list, wait for, kill and reap them.

A process group or session does not contain all processes of a trial, since stubs leave it.  A child subreaper does: an
orphan becomes a child of the nearest one, so every process that a trial started stays below its supervisor.

Without a subreaper (an emulated kernel) an orphan is found by its session only, and without a /proc of this PID
namespace no descendant is: `proc_problem` says so.
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
from pathlib import Path
from typing import TypeVar

from worldswitch.harness.linux import cgroups, syscalls

CHILD_SECONDS = 5.0  #: the default time for a child to finish its work, or to end after SIGKILL

_QUIET = 0.01  #: seconds without a new child after which a chain has ended

RAISED = 255  #: the exit status of a child that raised an exception without errno; no errno is as high

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Process:
    """A process, as /proc/PID/stat shows it."""

    pid: int
    parent: int
    session: int
    name: str
    state: str
    threads: int
    started: int  #: in clock ticks since boot; distinguishes it from a later process with its pid

    @property
    def alive(self) -> bool:
        """True unless all threads have exited: a leader that exited shows as a zombie while other threads run."""
        return self.state not in "ZX" or self.threads > 1

    def __str__(self) -> str:
        return f"process {self.pid} ({self.name}, state {self.state}, {self.threads} threads)"


def read(pid: int | str) -> Process | None:
    """Read a process; None if there is none with this pid."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            head, _, tail = file.read().decode(errors="replace").rpartition(")")
    except OSError:
        return None  # it has ended
    state, parent, _, session, *fields = tail.split()
    return Process(int(pid), int(parent), int(session), head.partition("(")[2], state, int(fields[13]), int(fields[15]))


def proc_problem() -> str:
    """Why a trial's processes cannot be found, with the remedy; empty if /proc shows this PID namespace."""
    try:
        shown = os.readlink("/proc/self")  # noqa: PTH115 - the target is a pid
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        state = "is not mounted" if missing else f"cannot be read ({error.strerror})"
    else:
        state = "" if shown == str(os.getpid()) else "shows the processes of another PID namespace"
    lost = "so the processes of a trial could not be found and killed; as root: mount -t proc proc /proc"
    return f"/proc {state}, {lost}" if state else ""


def is_untraced() -> bool:
    """True unless a tracer (strace, gdb, proot) traces this process, or /proc does not tell."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            return "\nTracerPid:\t0\n" in file.read()
    except OSError:
        return False


def descendants(of: int) -> dict[int, Process]:
    """Every process below `of`, without `of` itself.

    A scan of all of /proc works on every kernel: /proc/PID/task/TID/children is a build option.
    """
    return _below((of,), (pid for pid, _ in _listing()))


class NewDescendants:
    """The descendants of this process that started after this object was made.

    Reading the stat of every process of the machine several times a trial would take longer than most trials.  Older
    processes need not be read: the inode of a /proc folder distinguishes one from a later process with its pid.
    """

    def __init__(self, *, adopted: bool = True, below: int | None = None) -> None:
        """Note the older processes; orphans that are not `adopted` are found by the sessions of earlier descendants.

        The processes of the older descendant `below` are found too.
        """
        self._before = _listing()
        self._adopted = adopted
        self._roots = (os.getpid(), *(() if below is None else (below,)))
        self._sessions: set[int] = set()

    def look(self) -> dict[int, Process]:
        """The new descendants whose ancestors below this process are new too."""
        new = (pid for pid, _ in _listing() - self._before)
        if self._adopted:
            return _below(self._roots, new)
        return self._with_orphans([process for pid in new if (process := read(pid))])

    def hunt(self, seconds: float = 0.5) -> None:
        """Kill new children of this process as fast as they appear, for at most `seconds`.

        In a chain, each process forks and exits, so its child becomes ours; it has little time to fork.
        """
        old = {name.encode() for name, _ in self._before}
        end, seen = time.monotonic() + seconds, time.monotonic()
        with _children() as children:
            while (now := time.monotonic()) < end and now < seen + _QUIET:
                for pid in [int(pid) for pid in children() if pid not in old]:
                    seen = now
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, signal.SIGKILL)  # a child of ours keeps its pid until it is reaped
                    reap(pid)

    def reap_orphans(self, but: int) -> None:
        """Reap new children of this process that have ended, except `but`.

        A chain leaves thousands in a second.  They would make each look slow, and use up the pids of the machine.
        """
        old = {name.encode() for name, _ in self._before} | {b"%d" % but}
        with _children() as children:
            for _ in range(100):  # one read of the list is not always all of it
                reaped = [pid for pid in children() if pid not in old and reap(int(pid)) is not None]
                if not reaped:
                    return

    def _with_orphans(self, new: list[Process]) -> dict[int, Process]:
        """The descendants among `new`, and those that share a session with one that was seen before."""
        own = os.getsid(0)
        found = _below_among(self._roots, new)
        self._sessions.update(process.session for process in found.values() if process.session != own)
        orphans = {process.pid: process for process in new if process.session in self._sessions}
        return found | orphans


@contextlib.contextmanager
def _children() -> Iterator[Callable[[], list[bytes]]]:
    """A function that lists the pids of the children of this process; none if the kernel does not (a build option)."""
    with contextlib.ExitStack() as opened:
        files = []
        for task in Path("/proc/self/task").glob("*/children"):
            with contextlib.suppress(OSError):
                files.append(opened.enter_context(task.open("rb", buffering=0)).fileno())
        yield lambda: [pid for file in files for pid in os.pread(file, 1 << 16, 0).split()]


def _listing() -> set[tuple[str, int]]:
    """The pid and the inode of the /proc folder of each process; empty if /proc does not show them."""
    if proc_problem():
        return set()  # the pids of another namespace are those of other processes here
    with os.scandir("/proc") as entries:
        return {(entry.name, entry.inode()) for entry in entries if entry.name.isdigit()}


def _below(roots: Iterable[int], pids: Iterable[str]) -> dict[int, Process]:
    return _below_among(roots, filter(None, map(read, pids)))


def _below_among(roots: Iterable[int], processes: Iterable[Process]) -> dict[int, Process]:
    children: dict[int, list[Process]] = {}
    for process in processes:
        children.setdefault(process.parent, []).append(process)
    found: dict[int, Process] = {}
    queue = [*roots]
    while queue:
        below = [process for process in children.get(queue.pop(), ()) if process.pid not in found]
        found.update((process.pid, process) for process in below)
        queue.extend(process.pid for process in below)
    return found


@contextlib.contextmanager
def subreaper() -> Iterator[bool]:
    """Adopt orphaned descendants while the context is open; False if the kernel cannot."""
    # With an inherited SIG_IGN the kernel would reap the children and lose every status.
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    before = syscalls.is_subreaper()
    adopts = syscalls.set_subreaper()
    try:
        yield adopts
    finally:
        syscalls.set_subreaper(before)


def how_ended(status: int) -> str:
    """Describe a wait status by numbers, as results do: ``killed by signal 9``, ``exited with status 1``."""
    code = os.waitstatus_to_exitcode(status)
    return f"killed by signal {-code}" if code < 0 else f"exited with status {code}"


def reap(pid: int) -> int | None:
    """Reap `pid` and return its wait status; None if it is no child of ours or still runs."""
    try:
        reaped, status = os.waitpid(pid, os.WNOHANG | syscalls.WALL)
    except ChildProcessError:
        return None
    return status if reaped else None


@contextlib.contextmanager
def pidfd(pid: int) -> Iterator[int | None]:
    """A pidfd of this process; None if the kernel gives none."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:  # Linux before 5.3, a seccomp filter, or no such process
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def kill(process: Process) -> None:
    """Send SIGKILL to the process, and never to a later process with its pid."""
    send(process, signal.SIGKILL)


def send(process: Process, signo: int) -> None:
    """Send a signal to the process, and never to a later process with its pid."""
    _send_if(process.pid, lambda pid: (now := read(pid)) is not None and now.started == process.started, signo)


def kill_if(pid: int, is_ours: Callable[[int], bool]) -> None:
    """Send SIGKILL to the process with `pid` if `is_ours` returns true; no effect if it is gone or not permitted."""
    _send_if(pid, is_ours, signal.SIGKILL)


def _send_if(pid: int, is_ours: Callable[[int], bool], signo: int) -> None:
    """Send a signal; the pidfd is opened before the check, so no later process with the pid gets it."""
    with contextlib.suppress(ProcessLookupError, PermissionError), pidfd(pid) as descriptor:
        if is_ours(pid):
            _send(pid, descriptor, signo)


def _send(pid: int, descriptor: int | None, signo: int) -> None:
    if descriptor is None:
        os.kill(pid, signo)
        return
    try:
        signal.pidfd_send_signal(descriptor, signo)
    except ProcessLookupError:
        raise
    except OSError:  # a filter that allows only pidfd_open(2)
        os.kill(pid, signo)


def fork(work: Callable[[], object]) -> int:
    """Call `work` in a child and return the child's pid.

    The child exits with 0, with the errno of an OSError, or with `RAISED` after a traceback.  It never unwinds into its
    copy of the caller's frames.
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
    """Call `work` in a child; raises OSError with its errno or if it was killed, TimeoutError, or RuntimeError."""
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
    """Kill and reap a child within `seconds`; no effect if it was reaped, since its pid may have been reused."""
    with contextlib.suppress(ChildProcessError):
        _ended(child)
        os.kill(child, signal.SIGKILL)
        wait_until(lambda: _ended(child, 0), seconds)


def _ended(child: int, flags: int = os.WNOWAIT) -> os.waitid_result | None:
    """Return how a child ended, None if it runs or is stopped; raises ChildProcessError once it was reaped."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | syscalls.WALL | flags)


def wait_until(condition: Callable[[], T], seconds: float) -> T:
    """Call `condition` at growing intervals until it is true or `seconds` have passed; return its last result."""
    deadline = time.monotonic() + seconds
    pause = 0.0005
    while not (found := condition()) and time.monotonic() <= deadline:
        time.sleep(pause)
        pause = min(2 * pause, 0.02)
    return found


def census(look: Callable[[], dict[int, Process]]) -> dict[int, Process]:
    """Call `look` until two results agree, and return the last.

    One look is not atomic: after the listing, a process may fork and exit before its stat is read, and then neither it
    nor its child is seen alive.  The next look sees the child.
    """
    found = look()
    seen = dict(found)
    for _ in range(10):
        before, found = found, look()
        if {pid: it.alive for pid, it in before.items()} == {pid: it.alive for pid, it in found.items()}:
            return found
        seen |= {pid: process for pid, process in found.items() if process.alive}
    return seen  # results never agree in a fork storm


def kill_all(
    look: Callable[[], dict[int, Process]], seconds: float, hunt: Callable[[], object] = lambda: None
) -> list[Process]:
    """Kill and reap what `look` finds for at most `seconds`; return the processes that remain.

    `hunt` is called after each round that found a living process: the processes of a chain end faster than a look.
    """

    def gone() -> bool:
        found = census(look)
        for process in found.values():
            if process.alive:
                cgroups.release(process.pid)
                kill(process)
            reap(process.pid)
        if any(process.alive for process in found.values()):
            hunt()
        return not found

    wait_until(gone, seconds)
    return list(look().values())
