"""The child's side of its supervision: it runs a body, sends the payload, and exits after the supervisor's ack.

Standard output and error lead to the supervisor.  Other pipes, sockets and writable descriptors lead to /dev/null, so a
platform that writes to every descriptor, or reads from it, does not reach the results or xdist's channel.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import gc
import os
import resource
import secrets
import signal
import stat
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, NoReturn

from worldswitch.harness.cell import frames
from worldswitch.harness.linux import syscalls

MARK = 16  #: the bytes of a mark

_fork = os.fork  # before a platform can replace it


class Pipes(NamedTuple):
    """The pipes between a supervisor and its children, each the end to read and the end to write."""

    report: tuple[int, int]
    output: tuple[int, int]
    ack: tuple[int, int]

    @property
    def of_child(self) -> tuple[int, ...]:
        """The ends that a child uses."""
        return self.report[1], self.output[1], self.ack[0]

    @property
    def of_supervisor(self) -> tuple[int, ...]:
        """The ends that a supervisor uses, which no child may: it could take what is sent, or fill the pipe."""
        return self.report[0], self.output[0], self.ack[1]


@contextlib.contextmanager
def pipes() -> Iterator[Pipes]:
    """Make the pipes, and close them at the end; the supervisor's ends never block it."""
    with contextlib.ExitStack() as made:
        found = Pipes(*(made.enter_context(pipe()) for _ in range(3)))
        for end in found.of_supervisor:
            os.set_blocking(end, False)
        yield found


@contextlib.contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    """Make a pipe, and close it at the end."""
    ends = os.pipe()
    try:
        yield ends
    finally:
        for end in ends:
            os.close(end)


def fresh_mark() -> bytes:
    """Return what distinguishes the payload of one child from what others send, or a program that guesses."""
    return secrets.token_hex(MARK // 2).encode()


def fork() -> int:
    """Fork this process, whatever threads it has."""
    gc.freeze()  # a collection in the child would copy every shared page
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # a platform's own
            stream.flush()
    with warnings.catch_warnings():
        # The other threads are pytest-xdist's channel; the child takes none of their locks.
        warnings.simplefilter("ignore", DeprecationWarning)
        return _fork()


def run(body: Callable[[], bytes], parent: int, own: Pipes, mark: bytes) -> NoReturn:
    """Run `body` in this process, a new child of `parent`, and exit."""
    status = 70  # EX_SOFTWARE: the body raised
    leave, write, read = os._exit, syscalls.write_all, os.read  # before the platform can replace them
    try:
        syscalls.die_with_parent(parent, signal.SIGKILL)
        os.setsid()  # a signal to the process group or from the terminal does not cross
        for end in own.of_child:
            os.set_blocking(end, True)  # an earlier child may have changed it
        faulthandler.enable(2)
        faulthandler.register(signal.SIGQUIT, 2, all_threads=True, chain=False)
        payload = body()
        sys.stdout.flush()
        sys.stderr.flush()
        write(own.report[1], frames.encode(b"%s %s" % (mark, payload)))
        read(own.ack[0], 1)
        status = 0
    except BaseException:  # must not unwind into the copy of the parent's frames
        with contextlib.suppress(BaseException):
            sys.excepthook(*sys.exc_info())
            sys.stderr.flush()
    finally:
        leave(status)


def redirect(output: int, keep: Iterable[int]) -> int:
    """Direct standard output and error to `output`, and other descriptors that lead out but `keep` to /dev/null.

    Closing them is unsafe: the objects that own them would later close descriptors that reuse their numbers.  Returns a
    descriptor of /dev/null.
    """
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    kept = {*keep, null}
    for fd in _open_descriptors():
        if fd > 2 and fd not in kept and _leads_out(fd):
            _replace(fd, null)
    return null


def hide(descriptors: Iterable[int], null: int) -> None:
    """Direct these descriptors of this process to `null`."""
    for fd in descriptors:
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
    """True for a pipe, a socket, and what is open for writing and not this process's own."""
    try:
        if stat.S_IFMT(os.fstat(fd).st_mode) in (stat.S_IFIFO, stat.S_IFSOCK):
            return True
        writable = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
        target = os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115 - the target is no path
    except FileNotFoundError:
        return writable and stat.S_IFMT(os.fstat(fd).st_mode) != 0  # no /proc; 0 is the type of an anonymous inode
    except OSError:
        return False  # the listing's own descriptor, closed by now
    return writable and not target.startswith(("/memfd:", "anon_inode:"))
