"""A process outside the platform that sends signals to it: single ones, forged ones, or a storm.

Signals that the trial sends carry the platform's own pid, so foreign signals need another process.  A `SignalSender`
forks that process, commands it over a socket and ends it; if the trial dies, the process sees its socket closed and
exits.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import itertools
import json
import os
import resource
import select
import signal
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from worldswitch.scenarios.stage.processes import status_of, threads_of

#: Every signal that can be sent and survived; the C library reserves 32 and 33.
CATCHABLE = (*(n for n in range(1, 32) if n not in (signal.SIGKILL, signal.SIGSTOP)), *range(34, 65))
#: Signals that start a group-stop.
STOPS = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
#: The signals of a storm, with stops and continues between them.
STORM = tuple(
    signo for number, other in enumerate(CATCHABLE) for signo in (other, STOPS[number % len(STOPS)], signal.SIGCONT)
)
#: Codes of siginfo_t that a process may forge, with any pid, towards another process: negative, except SI_TKILL.
FORGEABLE_CODES = {"SI_QUEUE": -1, "SI_TIMER": -2, "SI_MESGQ": -3, "SI_ASYNCIO": -4, "SI_SIGIO": -5, "SI_ASYNCNL": -60}

#: arch/x86/entry/syscalls/syscall_64.tbl and its siblings: numbers without a function in the C library.
RT_SIGQUEUEINFO, RT_TGSIGQUEUEINFO, TGKILL = {"x86_64": (129, 297, 234), "aarch64": (138, 240, 131)}[os.uname().machine]
#: Seconds between two signals of a storm: ten thousand a second.
STORM_PACE = 0.0001
#: How many signals of a storm may be queued.
QUEUED = 1000

_libc = ctypes.CDLL(None, use_errno=True)


def _system_call(number: int, *arguments: int | bytes) -> None:
    words = [ctypes.c_long(a) if isinstance(a, int) else ctypes.c_char_p(a) for a in arguments]
    if _libc.syscall(ctypes.c_long(number), *words) < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"system call {number}: {os.strerror(error)}")


def kill(pid: int, signo: int) -> None:
    """Send `signo` to the process `pid`."""
    os.kill(pid, signo)


def tgkill(pid: int, tid: int, signo: int) -> None:
    """Send `signo` to the thread `tid` of the process `pid`."""
    _system_call(TGKILL, pid, tid, signo)


def forge(pid: int, tid: int, signo: int, code: int, claimed: int, value: int) -> None:
    """Send `signo` with a siginfo_t that claims to come from the process `claimed`; `tid` 0: to the whole process."""
    info = struct.pack("@iiixxxxiIQ", signo, 0, code, claimed, os.getuid(), value).ljust(128, b"\0")
    if tid:
        _system_call(RT_TGSIGQUEUEINFO, pid, tid, signo, info)
    else:
        _system_call(RT_SIGQUEUEINFO, pid, signo, info)


def untaken(pid: int, tid: int) -> frozenset[int]:
    """The unblocked pending signals of a thread and its process: those it has yet to take."""
    try:
        lines = Path(f"/proc/{pid}/task/{tid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return frozenset()
    masks = {name: int(value, 16) for name, _, value in (line.partition(":") for line in lines) if name in _MASKS}
    pending = (masks["SigPnd"] | masks["ShdPnd"]) & ~masks["SigBlk"]
    return frozenset(n for n in range(1, 65) if pending >> (n - 1) & 1)


_MASKS = ("SigPnd", "ShdPnd", "SigBlk")


def waiting_for(pid: int) -> set[int]:
    """The pending signals of a process and its threads, blocked or not."""
    masks = [int(status_of(tid, field), 16) for tid in threads_of(pid) for field in ("SigPnd", "ShdPnd")]
    return {signo for signo in range(1, 65) for mask in masks if mask >> (signo - 1) & 1}


class SignalSender:
    """A process to send signals from, as a context manager; its methods fail if the target is gone."""

    def __enter__(self) -> SignalSender:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            self._socket.close()
            _serve(theirs)
        theirs.close()
        return self

    def __exit__(self, *_: object) -> None:
        # A close is not enough: stubs and their descendants may have inherited the file.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        os.waitpid(self.pid, 0)

    def kill(self, pid: int, *signos: int) -> None:
        """Send each of `signos` to the process `pid`."""
        for signo in signos:
            self._ask("kill", pid, signo)

    def tgkill(self, pid: int, tid: int, *signos: int) -> None:
        """Send each of `signos` to the thread `tid` of `pid`."""
        for signo in signos:
            self._ask("tgkill", pid, tid, signo)

    def forge(self, pid: int, tid: int, signo: int, *, code: int, claimed: int, value: int) -> None:
        """Send `signo` with a forged siginfo_t; see `forge`."""
        self._ask("forge", pid, tid, signo, code, claimed, value)

    @contextlib.contextmanager
    def storm(self, pid: int, signos: Iterable[int]) -> Iterator[None]:
        """Send `signos` in turn until the block ends, by kill to `pid` and by tgkill to each of its threads.

        It ends with a SIGCONT, so that no group-stop remains.
        """
        _limit_queue(pid)
        self._ask("storm", pid, list(signos))
        try:
            yield
        finally:
            self._ask("calm", pid)

    def _ask(self, *command: Any) -> None:
        self._socket.send(json.dumps(command).encode())
        refusal = json.loads(self._socket.recv(64))
        assert not refusal, f"a foreign {command}: {os.strerror(refusal)}; the target is gone"


def _limit_queue(pid: int) -> None:
    """Limit queued real-time signals of stopped threads: the queue is shared by all processes of the user."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_SIGPENDING)
    resource.prlimit(pid, resource.RLIMIT_SIGPENDING, (min(soft, QUEUED) if soft >= 0 else QUEUED, hard))


def _gusts(pid: int, signos: list[int]) -> Iterator[None]:
    """Send a storm, one signal a step, to the threads that still exist."""
    for turn in itertools.count():
        for tid in (0, *threads_of(pid)):
            with contextlib.suppress(ProcessLookupError, BlockingIOError):
                signo = signos[turn % len(signos)]
                tgkill(pid, tid, signo) if tid else kill(pid, signo)
            yield


def _calm(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        kill(pid, signal.SIGCONT)


_COMMANDS: dict[str, Callable[..., None]] = {"kill": kill, "tgkill": tgkill, "forge": forge, "calm": _calm}


def _answer(name: str, arguments: list[Any]) -> int:
    try:
        _COMMANDS[name](*arguments)
    except OSError as refusal:
        return refusal.errno or errno.EIO
    return 0


def _serve(commands: socket.socket) -> NoReturn:
    """Run the sending process: answer each command with an errno, and send a storm between commands."""
    storm: Iterator[None] | None = None
    try:
        while True:
            if storm and not select.select([commands], [], [], STORM_PACE)[0]:
                next(storm)
                continue
            packet = commands.recv(65536)
            if not packet:
                break
            name, *arguments = json.loads(packet)
            storm = _gusts(*arguments) if name == "storm" else None
            commands.send(json.dumps(0 if storm else _answer(name, arguments)).encode())
    finally:
        os._exit(0)
