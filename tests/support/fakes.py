"""Platforms that run no guest: one that passes, and others with one fault each."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import signal
import sys
import threading
import time

from worldswitch.harness.arch import registers
from worldswitch.harness.contract import (
    Access,
    BadAddress,
    Cause,
    Death,
    Event,
    Options,
    State,
    Stub,
    StubDied,
    Syscall,
    Unavailable,
)

GETPID = 39


class Space:
    def map_file(
        self, address: int, file: int, offset: int, length: int, access: Access, precommit: bool = False
    ) -> None: ...

    def unmap(self, address: int, length: int) -> None:
        if address + length >= 1 << 64:
            raise BadAddress("the range overflows")

    def release(self, *, wait: bool = True) -> None: ...


class Context:
    def switch(self, address_space: Space, state: State) -> Event:
        return Syscall(GETPID)

    def interrupt(self) -> None: ...

    def pull(self) -> None: ...


class Passes:
    """Passes all scenarios of `claims`."""

    address_range = (0x10000, 1 << 47)
    context: type[Context] = Context
    space: type[Space] = Space

    def __init__(self, options: Options) -> None:
        self.options = options

    def new_address_space(self) -> Space:
        return self.space()

    def new_context(self, *, resident: bool = False) -> Context:
        return self.context()

    def new_state(self) -> State:
        assert registers.SIZE
        return State(b"")

    def close(self) -> None: ...


class DiesAtStart(Passes):
    """Exits in its constructor."""

    def __init__(self, options: Options) -> None:
        os._exit(3)


class DiesInSwitch(Passes):
    """Kills its process in a switch."""

    class context(Context):  # noqa: D106, N801 - it is the attribute
        def switch(self, address_space: Space, state: State) -> Event:
            os.kill(os.getpid(), signal.SIGKILL)
            raise AssertionError


class DiesInClose(Passes):
    """Kills its process by a real-time signal, which has no name."""

    def close(self) -> None:
        os.kill(os.getpid(), 50)


class HangsInSwitch(Passes):
    """Hangs in a switch."""

    class context(Context):  # noqa: D106, N801 - it is the attribute
        def switch(self, address_space: Space, state: State) -> Event:
            while True:
                signal.pause()


class HangsInClose(Passes):
    """Hangs in close."""

    def close(self) -> None:
        while True:
            signal.pause()


class HangsAtExit(Passes):
    """Leaves a thread and an exit handler that wait for ever."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        atexit.register(threading.Event().wait)
        threading.Thread(target=threading.Event().wait).start()


class LiesAboutACapability(Passes):
    """Has the `Inspectable` part, but denies each use."""

    class space(Space):  # noqa: D106, N801 - it is the attribute
        def inject(self, number: int, *arguments: int) -> int:
            raise PermissionError("no injection")

        @property
        def stub(self) -> Stub:
            raise PermissionError("no stub")


class LacksWhatItNeeds(Passes):
    """Requires an ability that no probe knows."""

    def __init__(self, options: Options) -> None:
        raise Unavailable("no such device", "install it")


class Answers(Passes):
    """Reports a wrong system call."""

    class context(Context):  # noqa: D106, N801 - it is the attribute
        def switch(self, address_space: Space, state: State) -> Event:
            return Syscall(GETPID + 1)


class AcceptsAnything(Passes):
    """Accepts bad addresses."""

    class space(Space):  # noqa: D106, N801 - it is the attribute
        def unmap(self, address: int, length: int) -> None: ...


class RaisesTheWrongType(Passes):
    """Raises a wrong type for a bad address."""

    class space(Space):  # noqa: D106, N801 - it is the attribute
        def unmap(self, address: int, length: int) -> None:
            raise KeyError(address)


class RaisesAPlatformError(Passes):
    """Raises `StubDied` without a cause."""

    def new_address_space(self) -> Space:
        raise StubDied(Cause(Death.BROKEN))


def _fork_sleeper(*, traced: bool = False, escape: bool = False) -> None:
    if os.fork():
        return
    if escape:
        os.setsid()
        if os.fork():
            os._exit(0)
    if traced:
        ctypes.CDLL(None).ptrace(0, 0, 0, 0)  # PTRACE_TRACEME
        os.kill(os.getpid(), signal.SIGSTOP)
    while True:
        time.sleep(1000)


class LeavesATracedChild(Passes):
    """Leaves a tracee."""

    def close(self) -> None:
        _fork_sleeper(traced=True)


class LeavesAnUntracedChild(Passes):
    """Leaves a child."""

    def close(self) -> None:
        _fork_sleeper()


class LetsOneEscape(Passes):
    """Leaves an orphan in a session of its own."""

    def close(self) -> None:
        _fork_sleeper(escape=True)


class DiesAndLeavesOne(Passes):
    """Exits and leaves an orphan."""

    def close(self) -> None:
        _fork_sleeper(escape=True)
        os._exit(9)


class FloodsStderr(Passes):
    """Prints 64 MiB and a last line."""

    def close(self) -> None:
        for _ in range(64):
            os.write(2, b"x" * (1 << 20))
        os.write(2, b"\nthe last line\n")


class FloodsAndDies(FloodsStderr):
    """Prints the same and exits."""

    def close(self) -> None:
        super().close()
        os._exit(1)


class PrintsJunk(Passes):
    """Writes forged results to every writable descriptor."""

    def close(self) -> None:
        for fd in range(1, 64):
            with contextlib.suppress(OSError):  # not open, or not for writing
                os.set_blocking(fd, False)
                os.write(fd, b'@ws 00000000 {"verdict":"fail"}\n\0\xff@ws half a line')
        print("junk", file=sys.stdout)


class CannotClose(Passes):
    """Raises in close."""

    def close(self) -> None:
        raise OSError("cannot close")


class Skips(Passes):
    """Skips in close."""

    def close(self) -> None:
        import pytest

        pytest.skip("not today")


class Interrupts(Passes):
    """Raises KeyboardInterrupt, as Ctrl-C does."""

    def close(self) -> None:
        raise KeyboardInterrupt


not_callable = 7
