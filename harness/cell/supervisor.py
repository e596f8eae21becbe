"""Run a function in a process of its own, whose hang, crash or stray processes do no harm.

    supervise(body, seconds)

      fork -> the child, in a session of its own, runs `body` and sends what it returned
           -> the supervisor waits for the result, the child's death or the deadline, whichever is first,
              and stores the tail of the child's output
      look -> a new descendant of the supervisor that stays alive is a stray
      ack  -> the child may exit; then the supervisor kills and reaps all that remain

The child waits for the ack, so that strays that would die with it are found too.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import gc
import os
import resource
import selectors
import signal
import stat
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NoReturn

from worldswitch.harness.cell import frames
from worldswitch.harness.cell.diagnosis import snapshot
from worldswitch.harness.cell.diagnosis.model import ProcessSnapshot
from worldswitch.harness.linux import cgroups, processes, syscalls

TAIL = 1 << 15  #: the bytes stored of the end of the child's output

GRACE = 2.0  #: seconds in which a process must end by itself, else it is a stray


@dataclass(frozen=True, slots=True)
class Ending:
    """How the child ended: `payload` if the body returned, else `status` if the process died, else `late`."""

    payload: bytes | None
    status: int | None
    late: bool
    strays: tuple[str, ...]
    output: str
    seconds: float
    processes: tuple[ProcessSnapshot, ...] = ()  #: those alive at the `moment` of a failure
    moment: str = ""


@dataclass(slots=True)
class _Watch:
    """The supervisor's view of its child."""

    pid: int
    report: int
    output: int
    descendants: processes.NewDescendants
    payload: bytes | None = None
    status: int | None = None
    late: bool = False
    strays: tuple[str, ...] = ()
    snapshot: tuple[ProcessSnapshot, ...] = ()
    moment: str = ""
    printed: bytearray = field(default_factory=bytearray)
    _reported: bytearray = field(default_factory=bytearray)

    def read_report(self) -> None:
        self._reported += os.read(self.report, 1 << 20)
        while self.payload is None and (end := self._reported.find(b"\n")) >= 0:
            self.payload = frames.decode(bytes(self._reported[: end + 1]))
            del self._reported[: end + 1]

    def read_output(self) -> None:
        self.printed += os.read(self.output, 1 << 16)
        del self.printed[:-TAIL]

    def look_for_end(self) -> bool:
        if self.status is None:
            self.status = processes.reap(self.pid)
        return self.status is not None

    def others(self) -> dict[int, processes.Process]:
        return {pid: process for pid, process in self.descendants.look().items() if pid != self.pid}

    def take_snapshot(self, moment: str) -> None:
        self.moment, self.snapshot = moment, snapshot.look_from_outside(self.descendants.look())


def supervise(body: Callable[[], bytes], seconds: float) -> Ending:
    """Run `body` in a forked child for at most `seconds`; on return all its processes are killed and reaped."""
    begin = time.monotonic()
    with processes.subreaper() as adopts, _pipe() as report, _pipe() as output, _pipe() as ack:
        descendants = processes.NewDescendants(adopted=adopts)
        parent = os.getpid()
        pid = _fork()
        if pid == 0:
            _child(body, parent, report[1], output[1], ack)
        watch = _Watch(pid, report[0], output[0], descendants)
        try:
            _observe(watch, begin + seconds)
            os.write(ack[1], b".")
            processes.wait_until(watch.look_for_end, GRACE)
        finally:
            _end(watch)
            survivors = processes.kill_all(watch.others, 5.0)
            if watch.payload is None:  # the child has not removed its control groups
                cgroups.clear()
    strays = watch.strays + tuple(f"{process}, which SIGKILL does not end" for process in survivors)
    printed = watch.printed.decode(errors="replace")
    took = time.monotonic() - begin
    return Ending(watch.payload, watch.status, watch.late, strays, printed, took, watch.snapshot, watch.moment)


def _observe(watch: _Watch, end: float) -> None:
    """Wait for the child; note how it ended, its strays and, after a failure, the state of the processes."""
    watch.late = not _wait(watch, end)
    if watch.payload is None:
        watch.take_snapshot("at the deadline" if watch.late else "after its process died")
    if watch.late:
        _ask_for_stacks(watch)
    if watch.payload is None:
        _end(watch)
    watch.strays = _strays(watch)
    if watch.strays and not watch.snapshot:
        watch.take_snapshot("after the trial, with processes left behind")


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    try:
        yield ends
    finally:
        for end in ends:
            os.close(end)


def _fork() -> int:
    gc.freeze()  # a collection in the child would copy every shared page
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        # The other threads are pytest-xdist's channel; the child takes none of their locks.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _child(body: Callable[[], bytes], parent: int, report: int, output: int, ack: tuple[int, int]) -> NoReturn:
    status = 70  # EX_SOFTWARE: the body raised
    try:
        syscalls.die_with_parent(parent, signal.SIGKILL)
        os.setsid()  # a signal to the process group or from the terminal does not cross
        _redirect(output, keep=(report, ack[0]))
        faulthandler.enable(2)
        faulthandler.register(signal.SIGQUIT, 2, all_threads=True, chain=False)
        payload = body()
        sys.stdout.flush()
        sys.stderr.flush()
        syscalls.write_all(report, frames.encode(payload))
        os.read(ack[0], 1)
        status = 0
    except BaseException:  # must not unwind into the copy of the supervisor's frames
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
    finally:
        os._exit(status)


def _redirect(output: int, keep: tuple[int, ...]) -> None:
    """Direct standard output and error to the supervisor, and other writable descriptors to /dev/null.

    A platform that writes to every descriptor must not reach the results or xdist's channel.  Closing them is unsafe:
    the objects that own them would later close descriptors that reuse their numbers.
    """
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    for fd in _open_descriptors():
        if fd > 2 and fd not in (*keep, null) and _leads_out(fd):
            _replace(fd, null)


def _open_descriptors() -> list[int]:
    """The open descriptors, and without /proc all numbers that this process may use."""
    try:
        return list(map(int, os.listdir("/proc/self/fd")))  # noqa: PTH208 - the entries are no files
    except OSError:
        return list(range(min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 1 << 16)))


def _replace(fd: int, null: int) -> None:
    try:
        os.dup2(null, fd, inheritable=False)
    except OSError:  # inherited, and above a lower limit of open files: no object owns it, and no file can reuse it
        os.close(fd)


def _leads_out(fd: int) -> bool:
    try:
        writable = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
        target = os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115 - the target is no path
    except FileNotFoundError:
        return writable and stat.S_IFMT(os.fstat(fd).st_mode) != 0  # no /proc; 0 is the type of an anonymous inode
    except OSError:
        return False  # the listing's own descriptor, closed by now
    return writable and not target.startswith(("/memfd:", "anon_inode:"))


def _wait(watch: _Watch, end: float) -> bool:
    """Wait until the child has reported or ended; False if neither happened before `end`."""
    with selectors.DefaultSelector() as selector, processes.pidfd(watch.pid) as pidfd:
        selector.register(watch.report, selectors.EVENT_READ, watch.read_report)
        selector.register(watch.output, selectors.EVENT_READ, watch.read_output)
        if pidfd is not None:
            selector.register(pidfd, selectors.EVENT_READ, watch.look_for_end)
        while True:
            remaining = end - time.monotonic()
            ready = selector.select(max(0.0, remaining if pidfd is not None else min(remaining, 0.01)))
            for key, _ in ready:
                key.data()
            if watch.payload is not None or watch.look_for_end():
                _drain(selector, watch)
                return True
            if remaining <= 0:
                return False


def _drain(selector: selectors.BaseSelector, watch: _Watch) -> None:
    """Read the rest of the pipes; bounded, since strays may hold them open and write for ever."""
    for _ in range(64):
        ready = [key for key, _ in selector.select(0) if key.fd in (watch.report, watch.output)]
        if not ready:
            return
        for key in ready:
            key.data()


def _ask_for_stacks(watch: _Watch) -> None:
    """Make a late child print the stacks of its threads."""
    os.kill(watch.pid, signal.SIGQUIT)
    _wait(watch, time.monotonic() + 0.2)


def _end(watch: _Watch) -> None:
    if not watch.look_for_end():
        cgroups.release(watch.pid)
        os.kill(watch.pid, signal.SIGKILL)
        processes.wait_until(watch.look_for_end, GRACE)


def _strays(watch: _Watch) -> tuple[str, ...]:
    alive: list[processes.Process] = []

    def none() -> bool:
        alive[:] = [process for process in processes.census(watch.others).values() if process.alive]
        return not alive

    processes.wait_until(none, GRACE)
    return tuple(map(str, alive))
