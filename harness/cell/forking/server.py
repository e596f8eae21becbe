"""A fork server: a process that has loaded the platform, and forks a child for each trial.

    this process ── keeper ── server ── child of a trial

Loading a platform takes longer than most trials, and the process that judges must never run its code.  So the server
loads it, and its children share it.  This process trusts neither: it has its own clock and its own list of processes,
each answer has a deadline, and a server that lost its way is replaced.  The keeper is there to be killed: a platform
that ends its parent process ends its own server.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

import msgspec

from worldswitch.harness.cell import frames
from worldswitch.harness.cell.forking import child
from worldswitch.harness.cell.supervisor import Ending, follow
from worldswitch.harness.linux import processes, syscalls

ANSWER = 10.0  #: seconds in which a server must have forked a child

OUTPUT = 4096  #: the bytes stored of the end of its output

_LENGTH = 4  #: bytes before a request


class ServerLost(Exception):
    """The server has ended or does not answer; the message says what was seen."""


class _Message(msgspec.Struct, frozen=True, array_like=True):
    """What the server tells."""

    what: str  #: ready: it has loaded; child: it has forked one; ended: that child has ended
    number: int = 0  #: its pid, the child's pid, or the wait status
    text: str = ""  #: what loading returned


class ForkServer:
    """Starts children that run `body` with the bytes of a request, in a process that has called `load`."""

    def __init__(self, load: Callable[[], str], body: Callable[[bytes], bytes]) -> None:
        self._load = load
        self._body = body
        self._open = contextlib.ExitStack()
        self._adopts = self._open.enter_context(processes.subreaper())
        self._pipes = self._open.enter_context(child.pipes())
        self._requests = self._open.enter_context(child.pipe())
        self._told = self._open.enter_context(child.pipe())
        for end in (self._requests[1], self._told[0]):
            os.set_blocking(end, False)
        self._descendants = processes.NewDescendants(adopted=self._adopts)
        self._messages: list[_Message] = []
        self._partial = b""
        self._lost = False
        self._printed = b""
        self.pid = 0  #: the server's, once it is ready
        parent = os.getpid()
        self._keeper = child.fork()
        if self._keeper == 0:
            self._keep(parent)

    def ready(self, seconds: float) -> str:
        """Return what loading returned, within `seconds`; raises `ServerLost`."""
        message = self._next("ready", seconds)
        self.pid = message.number
        for _ in range(64):  # bounded, since its threads may print for ever
            self._print()
        return message.text

    @property
    def usable(self) -> bool:
        """True unless the server has ended, is stopped, or has told what was not asked."""
        self._hear()
        process = processes.read(self.pid)
        return not self._lost and not self._messages and process is not None and process.state not in "TtZX"

    def supervise(self, request: bytes, seconds: float) -> Ending:
        """Run the body with `request` in a child, as `supervisor.supervise` does; raises `ServerLost` if none began."""
        begin, mark = time.monotonic(), child.fresh_mark()
        descendants = processes.NewDescendants(adopted=self._adopts, below=self.pid)
        message = mark + request
        try:
            os.write(self._requests[1], len(message).to_bytes(_LENGTH) + message)
        except (BlockingIOError, BrokenPipeError):
            raise ServerLost("it takes no request") from None
        pid = self._next("child", ANSWER).number
        process = processes.read(pid)
        if process is not None and process.parent != self.pid and process.parent != os.getpid():
            raise ServerLost(f"it named process {pid}, which it did not start")
        return follow(_ServedChild(self, pid, process), self._pipes, mark, descendants, begin, seconds)

    def output(self) -> str:
        """Return the end of what the server has printed."""
        return self._printed.decode(errors="replace")

    def _print(self) -> None:
        self._printed = (self._printed + _read(self._pipes.output[0]))[-OUTPUT:]

    def others(self) -> dict[int, processes.Process]:
        """The processes besides the keeper and the server that were started since this one was made."""
        own = (self._keeper, self.pid)
        self._descendants.reap_orphans(self._keeper)
        return {pid: process for pid, process in self._descendants.look().items() if pid not in own}

    def close(self) -> list[processes.Process]:
        """Kill the server and all that it started; return the processes that remain."""
        remaining = processes.kill_all(self._descendants.look, 5.0, self._descendants.hunt)
        self._open.close()
        return remaining

    # ----------------------------------------------------------------------------------------- what the server tells

    def status_told(self) -> int | None:
        """Return the wait status of the child, if it was told; never waits."""
        self._hear()
        told = self._messages.pop(0) if self._messages else None
        if told is not None and (told.what != "ended" or not 0 <= told.number <= 0xFFFF):
            self._lost = True
        return told.number if told is not None and not self._lost else None

    @property
    def lost(self) -> bool:
        """True if the server has ended, or told what it should not."""
        self._lost = self._lost or processes.reap(self._keeper) is not None
        return self._lost

    @contextlib.contextmanager
    def signs(self) -> Iterator[tuple[int, ...]]:
        """Descriptors of which one is readable when the server has told something or ended."""
        with processes.pidfd(self._keeper) as keeper:
            yield () if keeper is None else (self._told[0], keeper)

    def _next(self, what: str, seconds: float) -> _Message:
        """Return the next message, which must be `what`."""
        end = time.monotonic() + seconds
        while not self._messages:
            ended = self.lost
            self._hear()
            if self._messages:
                break
            if ended:
                raise ServerLost("it has ended")
            if time.monotonic() > end:
                raise ServerLost(f"it did not answer within {seconds:g} s")
            if self.pid:
                select.select([self._told[0]], [], [], 0.05)
            else:  # it loads, and no write must wait for this process; later, what is printed is a child's
                select.select([self._told[0], self._pipes.output[0]], [], [], 0.05)
                self._print()
        message = self._messages.pop(0)
        if message.what != what:
            self._lost = True
            raise ServerLost(f"it told {message.what!r} instead of {what!r}")
        return message

    def _hear(self) -> None:
        """Read what the server has told; what is no message makes it lost."""
        try:
            told = os.read(self._told[0], 1 << 16)
        except BlockingIOError:
            return
        *whole, self._partial = (self._partial + told).split(b"\n")
        try:
            self._messages += [_decode(line) for line in whole if line]
        except msgspec.MsgspecError:
            self._lost = True
        self._lost = self._lost or not told or len(self._partial) > 1 << 16

    # ------------------------------------------------------------------------------------- in the keeper and the server

    def _keep(self, parent: int) -> NoReturn:
        leave, status = os._exit, 70
        try:
            syscalls.die_with_parent(parent, signal.SIGKILL)
            os.setsid()
            self._null = child.redirect(
                self._pipes.output[1], (*self._pipes.of_child, self._requests[0], self._told[1])
            )
            keeper = os.getpid()
            if (server := os.fork()) == 0:
                self._serve(keeper)
            child.hide((*self._pipes.of_child, self._requests[0], self._told[1]), self._null)
            os.waitpid(server, syscalls.WALL)
            status = 0
        finally:
            leave(status)

    def _serve(self, keeper: int) -> NoReturn:
        leave, wait, tell, getpid = os._exit, os.waitpid, self._tell, os.getpid  # before the platform replaces them
        try:
            syscalls.die_with_parent(keeper, signal.SIGKILL)
            os.setsid()
            own = getpid()
            tell(_Message("ready", own, self._load()))
            while request := self._request():
                pid = child.fork()
                if pid == 0:
                    self._run(request, own)
                tell(_Message("child", pid))
                tell(_Message("ended", wait(pid, syscalls.WALL)[1]))
        finally:
            leave(70)

    def _run(self, request: bytes, server: int) -> NoReturn:
        """Run the body in a new child."""
        child.hide((self._requests[0], self._told[1]), self._null)  # opened before the platform can set a limit
        mark, asked = request[: child.MARK], request[child.MARK :]
        child.run(lambda: self._body(asked), server, self._pipes, mark)

    def _tell(self, message: _Message) -> None:
        syscalls.write_all(self._told[1], frames.encode(msgspec.json.encode(message)))

    def _request(self) -> bytes:
        """Wait for the next request; empty if this process's parent closed the pipe."""
        length = int.from_bytes(self._exactly(_LENGTH))
        return self._exactly(length) if length else b""

    def _exactly(self, length: int) -> bytes:
        found = b""
        while len(found) < length and (more := os.read(self._requests[0], length - len(found))):
            found += more
        return found if len(found) == length else b""


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except BlockingIOError:
        return b""


def _decode(line: bytes) -> _Message:
    payload = frames.decode(line)
    if payload is None:
        raise msgspec.ValidationError("no frame")
    return msgspec.json.decode(payload, type=_Message)


class _ServedChild:
    """A child of the server."""

    def __init__(self, server: ForkServer, pid: int, process: processes.Process | None) -> None:
        self.pid = pid
        self.status: int | None = None
        self._server = server
        self._process = process
        self._ended = False

    def ended(self) -> bool:
        """True once the server told its status, or the server is lost."""
        if not self._ended:
            self.status = self._server.status_told()
            self._ended = self.status is not None or self._server.lost
        return self._ended

    def send(self, signo: int) -> None:
        """Send it a signal, and never to a later process with its pid."""
        if self._process is not None:
            processes.send(self._process, signo)

    def signs(self) -> contextlib.AbstractContextManager[tuple[int, ...]]:
        """Those of the server."""
        return self._server.signs()
