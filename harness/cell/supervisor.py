"""Run a function in a process of its own, whose hang, crash or stray processes do no harm.

    supervise(body, seconds)

      fork -> the child, in a session of its own, runs `body` and sends what it returned
           -> the supervisor waits for the result, the child's death or the deadline, whichever is first,
              and stores the tail of the child's output
      look -> a new descendant of the supervisor that stays alive is a stray
      ack  -> the child may exit; then the supervisor kills and reaps all that remain

The child waits for the ack, so that strays that would die with it are found too.  Nothing that a child sends or does is
trusted: what it sends is bounded, and no wait is without a deadline.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from worldswitch.harness.cell import frames
from worldswitch.harness.cell.diagnosis import snapshot
from worldswitch.harness.cell.diagnosis.model import ProcessSnapshot
from worldswitch.harness.cell.forking import child
from worldswitch.harness.linux import cgroups, processes

TAIL = 1 << 15  #: the bytes stored of the end of the child's output

REPORT = 1 << 21  #: the bytes of a payload at most

REAPING = 0.1  #: seconds between two looks for dead orphans of a running child

STRAYS = 16  #: the number of strays that are named

GRACE = 2.0  #: seconds in which a process must end by itself, else it is a stray


class Child(Protocol):
    """A child under supervision."""

    @property
    def pid(self) -> int:
        """Its pid."""

    @property
    def status(self) -> int | None:
        """Its wait status, once `ended` returned true; None if it is not known."""

    def ended(self) -> bool:
        """True once it has ended; never waits."""

    def send(self, signo: int) -> None:
        """Send it a signal, unless it has ended."""

    def signs(self) -> contextlib.AbstractContextManager[tuple[int, ...]]:
        """Descriptors of which one is readable once it has ended; none if the kernel gives none."""


@dataclass(slots=True)
class OwnChild:
    """A child of this process."""

    pid: int
    status: int | None = None

    def ended(self) -> bool:
        """True once it was reaped."""
        if self.status is None:
            self.status = processes.reap(self.pid)
        return self.status is not None

    def send(self, signo: int) -> None:
        """Send it a signal; only `ended` reaps it, so its pid is not reused."""
        os.kill(self.pid, signo)

    @contextlib.contextmanager
    def signs(self) -> Iterator[tuple[int, ...]]:
        """Its pidfd."""
        with processes.pidfd(self.pid) as descriptor:
            yield () if descriptor is None else (descriptor,)


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
    problem: str = ""  #: what was wrong with what it sent


@dataclass(slots=True)
class _Watch:
    """The supervisor's view of its child."""

    child: Child
    report: int
    output: int
    mark: bytes
    descendants: processes.NewDescendants
    payload: bytes | None = None
    late: bool = False
    problem: str = ""
    strays: tuple[str, ...] = ()
    snapshot: tuple[ProcessSnapshot, ...] = ()
    moment: str = ""
    printed: bytearray = field(default_factory=bytearray)
    _reported: bytearray = field(default_factory=bytearray)

    @property
    def reported(self) -> bool:
        """True once it has sent a result, or what cannot be one."""
        return self.payload is not None or bool(self.problem)

    def read_report(self) -> None:
        self._reported += _read(self.report, 1 << 20)
        *whole, rest = self._reported.split(b"\n")
        if len(rest) > REPORT:
            rest, self.problem = rest[:0], f"it sent more than {REPORT} bytes"
        self._reported = rest
        for line in whole:
            mark, _, payload = (frames.decode(bytes(line)) or b"").partition(b" ")
            if mark == self.mark:
                self.problem = self.problem or ("it sent a result twice" if self.payload is not None else "")
                self.payload = payload

    def read_output(self) -> None:
        self.printed += _read(self.output, 1 << 16)
        del self.printed[:-TAIL]

    def others(self) -> dict[int, processes.Process]:
        self.descendants.reap_orphans(self.child.pid)
        return {pid: process for pid, process in self.descendants.look().items() if pid != self.child.pid}

    def take_snapshot(self, moment: str) -> None:
        self.moment, self.snapshot = moment, snapshot.look_from_outside(self.descendants.look())


def _read(descriptor: int, most: int) -> bytes:
    """Read what a pipe has; nothing if a child that has its end too took it."""
    try:
        return os.read(descriptor, most)
    except BlockingIOError:
        return b""


def supervise(body: Callable[[], bytes], seconds: float) -> Ending:
    """Run `body` in a forked child for at most `seconds`; on return all its processes are killed and reaped."""
    begin = time.monotonic()
    with processes.subreaper() as adopts, child.pipes() as pipes:
        descendants = processes.NewDescendants(adopted=adopts)
        parent, mark = os.getpid(), child.fresh_mark()

        def redirected() -> bytes:
            child.redirect(pipes.output[1], keep=pipes.of_child)
            return body()

        pid = child.fork()
        if pid == 0:
            child.run(redirected, parent, pipes, mark)
        return follow(OwnChild(pid), pipes, mark, descendants, begin, seconds)


def follow(
    started: Child, pipes: child.Pipes, mark: bytes, descendants: processes.NewDescendants, begin: float, seconds: float
) -> Ending:
    """Wait for a child that started at `begin`, for at most `seconds`; on return its processes are gone."""
    watch = _Watch(started, pipes.report[0], pipes.output[0], mark, descendants)
    try:
        _observe(watch, begin + seconds)
        if watch.reported and not watch.problem:
            with contextlib.suppress(BlockingIOError):  # a child that filled the pipe has its ack
                os.write(pipes.ack[1], b".")
            processes.wait_until(started.ended, GRACE)
    finally:
        _end(watch)
        survivors = processes.kill_all(watch.others, 5.0, descendants.hunt)
        if watch.payload is None:  # the child has not removed its control groups
            cgroups.clear()
    watch.read_report()
    strays = watch.strays + tuple(f"{process}, which SIGKILL does not end" for process in survivors)
    printed = watch.printed.decode(errors="replace")
    took = time.monotonic() - begin
    payload = None if watch.problem else watch.payload
    return Ending(
        payload, started.status, watch.late, strays, printed, took, watch.snapshot, watch.moment, watch.problem
    )


def _observe(watch: _Watch, end: float) -> None:
    """Wait for the child; note how it ended, its strays and, after a failure, the state of the processes."""
    watch.late = not _wait(watch, end)
    if not watch.reported:
        watch.take_snapshot("at the deadline" if watch.late else "after its process died")
    if watch.late:
        _ask_for_stacks(watch)
    if not watch.reported:
        _end(watch)
    watch.strays = left_behind(watch.others)
    if watch.strays and not watch.snapshot:
        watch.take_snapshot("after the trial, with processes left behind")


def _wait(watch: _Watch, end: float) -> bool:
    """Wait until the child has reported or ended; False if neither happened before `end`."""
    with selectors.DefaultSelector() as selector, watch.child.signs() as signs:
        selector.register(watch.report, selectors.EVENT_READ, watch.read_report)
        selector.register(watch.output, selectors.EVENT_READ, watch.read_output)
        for sign in signs:
            selector.register(sign, selectors.EVENT_READ, watch.child.ended)
        looked = time.monotonic()
        while True:
            remaining = end - time.monotonic()
            ready = selector.select(max(0.0, min(remaining, REAPING if signs else 0.01)))
            for key, _ in ready:
                key.data()
            if time.monotonic() > looked + REAPING:
                watch.descendants.reap_orphans(watch.child.pid)
                looked = time.monotonic()
            if watch.reported or watch.child.ended():
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
    watch.child.send(signal.SIGQUIT)
    _wait(watch, time.monotonic() + 0.2)


def _end(watch: _Watch) -> None:
    if not watch.child.ended():
        cgroups.release(watch.child.pid)
        watch.child.send(signal.SIGKILL)
        processes.wait_until(watch.child.ended, GRACE)


def left_behind(others: Callable[[], dict[int, processes.Process]]) -> tuple[str, ...]:
    """Describe the processes among `others` that do not end by themselves."""
    alive: list[processes.Process] = []

    def none() -> bool:
        alive[:] = [process for process in processes.census(others).values() if process.alive]
        return not alive

    processes.wait_until(none, GRACE)
    return tuple(map(str, alive[:STRAYS])) + ((f"{len(alive) - STRAYS} more",) if len(alive) > STRAYS else ())
