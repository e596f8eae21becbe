"""Platforms that run nothing: a good one, and those that each go wrong in one way."""

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
    """Does what the claims ask for."""

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
    """Ends the process that constructs it."""

    def __init__(self, options: Options) -> None:
        os._exit(3)


class DiesInSwitch(Passes):
    """Ends its process by a signal."""

    class context(Context):  # noqa: D106, N801 - it is the attribute
        def switch(self, address_space: Space, state: State) -> Event:
            os.kill(os.getpid(), signal.SIGKILL)
            raise AssertionError


class DiesInClose(Passes):
    """Ends its process by a signal that has no name."""

    def close(self) -> None:
        os.kill(os.getpid(), 50)


class HangsInSwitch(Passes):
    """Never comes back."""

    class context(Context):  # noqa: D106, N801 - it is the attribute
        def switch(self, address_space: Space, state: State) -> Event:
            while True:
                signal.pause()


class HangsInClose(Passes):
    """Does all that is asked, and never ends."""

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
    """Says that one may look inside, and lets nobody."""

    class space(Space):  # noqa: D106, N801 - it is the attribute
        def inject(self, number: int, *arguments: int) -> int:
            raise PermissionError("nobody injects")

        @property
        def stub(self) -> Stub:
            raise PermissionError("nobody looks")


class LacksWhatItNeeds(Passes):
    """Needs something of the environment that no probe knows of."""

    def __init__(self, options: Options) -> None:
        raise Unavailable("no flux capacitor", "fit one")


class Answers(Passes):
    """Says that the guest made another system call than it did."""

    class context(Context):  # noqa: D106, N801 - it is the attribute
        def switch(self, address_space: Space, state: State) -> Event:
            return Syscall(GETPID + 1)


class AcceptsAnything(Passes):
    """Knows no bad addresses."""

    class space(Space):  # noqa: D106, N801 - it is the attribute
        def unmap(self, address: int, length: int) -> None: ...


class RaisesTheWrongType(Passes):
    """Tells of a bad address by an error of its own."""

    class space(Space):  # noqa: D106, N801 - it is the attribute
        def unmap(self, address: int, length: int) -> None:
            raise KeyError(address)


class RaisesAPlatformError(Passes):
    """Has its stub die where nobody killed it."""

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
    """Forgets its tracee."""

    def close(self) -> None:
        _fork_sleeper(traced=True)


class LeavesAnUntracedChild(Passes):
    """Forgets a child."""

    def close(self) -> None:
        _fork_sleeper()


class LetsOneEscape(Passes):
    """Its grandchild has a session of its own, and no parent any more."""

    def close(self) -> None:
        _fork_sleeper(escape=True)


class DiesAndLeavesOne(Passes):
    """Does both."""

    def close(self) -> None:
        _fork_sleeper(escape=True)
        os._exit(9)


class FloodsStderr(Passes):
    """Prints 64 megabytes, and then what matters."""

    def close(self) -> None:
        for _ in range(64):
            os.write(2, b"x" * (1 << 20))
        os.write(2, b"\nthe last words\n")


class FloodsAndDies(FloodsStderr):
    """After its last words there are no more."""

    def close(self) -> None:
        super().close()
        os._exit(1)


class PrintsJunk(Passes):
    """Writes what looks like results to whatever is open for writing."""

    def close(self) -> None:
        for fd in range(1, 64):
            with contextlib.suppress(OSError):  # not open, or not for writing
                os.set_blocking(fd, False)
                os.write(fd, b'@ws 00000000 {"verdict":"fail"}\n\0\xff@ws half a line')
        print("junk", file=sys.stdout)


class CannotClose(Passes):
    """Its close raises."""

    def close(self) -> None:
        raise OSError("cannot close")


class Skips(Passes):
    """Skips, as if it were a scenario."""

    def close(self) -> None:
        import pytest

        pytest.skip("no mood")


class Interrupts(Passes):
    """Raises what pytest takes for Ctrl-C."""

    def close(self) -> None:
        raise KeyboardInterrupt


not_callable = 7
