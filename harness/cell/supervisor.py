"""Run a function in a process of its own that can hang, crash or litter without harm to anybody.

    supervise(body, seconds)

      fork -> the child, in a session of its own, runs `body` and sends what it returned
           -> the supervisor waits for that, for the child's end or for the deadline, whatever comes first,
              while it keeps the tail of what the child prints
      look -> who is alive below the supervisor that was not before, is a stray
      ack  -> the child may end; then everybody is killed and reaped

The child stays until the supervisor has looked: strays that would die with it are found too.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import gc
import os
import selectors
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NoReturn

from worldswitch.harness.cell import frames
from worldswitch.harness.cell.diagnosis import snapshot as scene
from worldswitch.harness.cell.diagnosis.model import ProcessSnapshot
from worldswitch.harness.linux import cgroups, processes, syscalls

TAIL = 1 << 15  #: of the child's output, this much is kept

#: How long what was told to end may take; beyond it, it was left behind.
GRACE = 2.0


@dataclass(frozen=True, slots=True)
class Ending:
    """How it came out: `payload` if the body returned, else `status` if the process died, else it was `late`."""

    payload: bytes | None
    status: int | None
    late: bool
    strays: tuple[str, ...]
    output: str
    seconds: float
    scene: tuple[ProcessSnapshot, ...] = ()  #: who was there at the `moment` when it went wrong
    moment: str = ""


@dataclass(slots=True)
class _Watch:
    """What the supervisor has seen of its child."""

    pid: int
    report: int
    output: int
    payload: bytes | None = None
    status: int | None = None
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


def supervise(body: Callable[[], bytes], seconds: float) -> Ending:
    """Run `body` in a forked child for at most `seconds`; nothing of it is left when this returns."""
    begin = time.monotonic()
    newcomers = processes.NewDescendants()
    with processes.subreaper(), _pipe() as report, _pipe() as output, _pipe() as ack:
        parent = os.getpid()
        pid = _fork()
        if pid == 0:
            _child(body, parent, report[1], output[1], ack)
        watch = _Watch(pid, report[0], output[0])

        def others() -> dict[int, processes.Process]:
            return {key: value for key, value in newcomers.look().items() if key != watch.pid}

        try:
            late = not _wait(watch, begin + seconds)
            seen: tuple[ProcessSnapshot, ...] = ()
            moment = "at the deadline" if late else "when its process had died"
            if watch.payload is None:
                seen = scene.look_from_outside(newcomers.look())
            if late:
                _ask_for_stacks(watch)
            if watch.payload is None:
                _end(watch)
            strays = _strays(others)
            if strays and not seen:
                seen, moment = scene.look_from_outside(newcomers.look()), "when it had been left behind"
            os.write(ack[1], b".")
            processes.wait_until(watch.look_for_end, GRACE)
        finally:
            _end(watch)
            withstood = processes.kill_all(others, 5.0)
            if watch.payload is None:  # then nobody has tidied up
                cgroups.clear()
    strays += tuple(f"{process}, which SIGKILL does not end" for process in withstood)
    printed = watch.printed.decode(errors="replace")
    return Ending(watch.payload, watch.status, late, strays, printed, time.monotonic() - begin, seen, moment)


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    try:
        yield ends
    finally:
        for end in ends:
            os.close(end)


def _fork() -> int:
    gc.freeze()  # the child's collections would copy every page of what is shared
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        # Other threads here belong to pytest-xdist's channel; the child uses none of their locks.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _child(body: Callable[[], bytes], parent: int, report: int, output: int, ack: tuple[int, int]) -> NoReturn:
    status = 70  # EX_SOFTWARE: the body raised
    try:
        syscalls.die_with_parent(parent, signal.SIGKILL)
        os.setsid()  # a signal to the process group, or from the terminal, stays on its side
        _redirect(output, keep=(report, ack[0]))
        faulthandler.enable(2)
        faulthandler.register(signal.SIGQUIT, 2, all_threads=True, chain=False)
        payload = body()
        sys.stdout.flush()
        sys.stderr.flush()
        syscalls.write_all(report, frames.encode(payload))
        os.read(ack[0], 1)
        status = 0
    except BaseException:  # nothing may unwind into the supervisor's frames, which are here too
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
    finally:
        os._exit(status)


def _redirect(output: int, keep: tuple[int, ...]) -> None:
    """Have output go to the supervisor, and nothing anywhere else.

    What writes to every descriptor it finds must not reach the results or xdist's channel.  They are not closed, since
    objects that own them would close whatever has their numbers later.
    """
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    for fd in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208 - the names are all there is to see
        if fd > 2 and fd not in (*keep, null) and _leads_out(fd):
            os.dup2(null, fd, inheritable=False)


def _leads_out(fd: int) -> bool:
    try:
        target = os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115 - it is no path
        writable = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
    except OSError:
        return False  # the listing's own, closed by now
    return writable and not target.startswith(("/memfd:", "anon_inode:"))


def _wait(watch: _Watch, end: float) -> bool:
    """Until the child has reported or ended; False if it did neither before `end`."""
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
    """Read what the pipes still hold.  Bounded: others may hold them open, and print for ever."""
    for _ in range(64):
        ready = [key for key, _ in selector.select(0) if key.fd in (watch.report, watch.output)]
        if not ready:
            return
        for key in ready:
            key.data()


def _ask_for_stacks(watch: _Watch) -> None:
    """Have a child that is late print where each of its threads stands."""
    os.kill(watch.pid, signal.SIGQUIT)
    _wait(watch, time.monotonic() + 0.2)


def _end(watch: _Watch) -> None:
    if not watch.look_for_end():
        cgroups.release(watch.pid)
        os.kill(watch.pid, signal.SIGKILL)
        processes.wait_until(watch.look_for_end, GRACE)


def _strays(others: Callable[[], dict[int, processes.Process]]) -> tuple[str, ...]:
    alive: list[processes.Process] = []

    def none() -> bool:
        alive[:] = [process for process in processes.census(others).values() if process.alive]
        return not alive

    processes.wait_until(none, GRACE)
    return tuple(map(str, alive))
