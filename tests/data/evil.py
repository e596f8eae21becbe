"""A platform that attacks the process of its trial, and all that it can reach from there."""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import os
import resource
import signal
import sys
import tempfile
import threading
import time
import types
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import pytest
from fakes import Passes

from worldswitch.harness.cell import frames
from worldswitch.harness.contract import Options, PlatformError
from worldswitch.harness.flight import WAIT
from worldswitch.harness.linux import syscalls

#: The attacks by name.
ATTACKS: dict[str, Callable[[Evil], object]] = {}

#: What a terminal, a CI system and a reader of results would obey.
ESCAPES = "\x1b]0;owned\x07\x1b[2J\x1b[1;1H\r453 passed, 0 failed\n::error::owned\n##[error]owned\u202e\x9b31m"

_libc = ctypes.CDLL(None)


class Evil(Passes):
    """Carries out one attack."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.at_close: Callable[[], object] = lambda: None

    def attack(self, name: str) -> None:
        ATTACKS[name](self)

    def close(self) -> None:
        self.at_close()


class Speaks(Passes):
    """Says what a terminal would obey, wherever it can."""

    def new_address_space(self) -> NoReturn:
        os.write(2, ESCAPES.encode(errors="surrogatepass"))
        raise PlatformError(f"{ESCAPES}\n{ESCAPES}")

    new_context = new_address_space  # type: ignore[assignment]


def attack(function: Callable[[Evil], object]) -> Callable[[Evil], object]:
    ATTACKS[function.__name__] = function
    return function


# ------------------------------------------------------------------------------------------------ the report of a trial


def _channel() -> tuple[int, bytes]:
    """The descriptor that the result goes to, and the mark that it must have, from the frames of the harness."""
    frame: types.FrameType | None = sys._getframe()
    while frame is not None:
        if "mark" in frame.f_locals and "own" in frame.f_locals:
            return frame.f_locals["own"].report[1], frame.f_locals["mark"]
        frame = frame.f_back
    raise AssertionError("the harness has changed")


def _forge(*payloads: bytes) -> None:
    report, mark = _channel()
    for payload in payloads:
        syscalls.write_all(report, frames.encode(mark + b" " + payload))


def _forge_and_end(payload: bytes) -> NoReturn:
    _forge(payload)
    os._exit(0)


@attack
def sends_no_json(_: Evil) -> None:
    _forge_and_end(b"{")


@attack
def sends_deep_json(_: Evil) -> None:
    _forge_and_end(b'{"verdict":"fail","diagnosis":' + b"[" * 500_000)


@attack
def sends_a_number_that_is_none(_: Evil) -> None:
    _forge_and_end(b'{"verdict":"pass","seconds":NaN}')


@attack
def sends_a_huge_number(_: Evil) -> None:
    _forge_and_end(b'{"verdict":"fail","diagnosis":{"processes":[{"pid":1%s,"parent":1}]}}' % (b"0" * 40))


@attack
def sends_another_type(_: Evil) -> None:
    _forge_and_end(b'{"verdict":["pass"]}')


@attack
def sends_no_unicode(_: Evil) -> None:
    _forge_and_end(b'{"verdict":"fail","reason":"\xff\xfe"}')


@attack
def sends_a_verdict_from_outside(_: Evil) -> None:
    _forge_and_end(b'{"verdict":"miss"}')


@attack
def sends_an_asserted_pass(_: Evil) -> None:
    _forge_and_end(b'{"verdict":"pass","assertion":true}')


@attack
def sends_too_much(_: Evil) -> None:
    report, mark = _channel()
    with suppress(OSError):
        syscalls.write_all(report, b"\n@ws 00000000 " + mark)
        while True:
            syscalls.write_all(report, bytes(1 << 20).replace(b"\0", b"x"))


@attack
def sends_a_pass_before_it_fails(evil: Evil) -> None:
    _forge(b'{"verdict":"pass"}')
    raise KeyError("it fails")


@attack
def sends_two_results(evil: Evil) -> None:
    evil.at_close = lambda: _forge(b'{"verdict":"pass"}', b'{"verdict":"pass"}')


@attack
def sends_the_result_of_another_trial(evil: Evil) -> None:
    report, mark = _channel()
    syscalls.write_all(report, frames.encode(b"0" * len(mark) + b' {"verdict":"pass"}'))
    raise KeyError("it fails")


@attack
def sends_a_long_reason(_: Evil) -> None:
    _forge_and_end(b'{"verdict":"fail","reason":"%s"}' % (b"x" * (1 << 20)))


# ----------------------------------------------------------------------------------------------- descriptors and output


@attack
def closes_every_descriptor(_: Evil) -> None:
    os.closerange(0, 1 << 16)


@attack
def writes_to_every_descriptor(_: Evil) -> None:
    for fd in range(1 << 10):
        with suppress(OSError):
            os.set_blocking(fd, False)
            os.write(fd, frames.encode(b'{"kind":"trial","scenario":"attacks::x","verdict":"pass"}'))


@attack
def takes_from_every_descriptor(_: Evil) -> None:
    for fd in range(3, 1 << 10):
        with suppress(OSError):
            os.set_blocking(fd, False)
            os.read(fd, 1 << 16)


@attack
def prints_without_end(_: Evil) -> None:
    block = b"x" * (1 << 16)
    for _index in range(1 << 11):
        os.write(1, block)


@attack
def prints_escapes(_: Evil) -> None:
    os.write(2, ESCAPES.encode(errors="surrogatepass"))
    raise KeyError("it fails")


# ------------------------------------------------------------------------------------------------- exceptions and notes


@attack
def notes_a_status_that_is_none(evil: Evil) -> None:
    for result in (1 << 40, -(1 << 62), 1 << 31, 0xFFFF_FFFF):
        evil.options.recorder.note(os.getpid(), WAIT, result)  # type: ignore[union-attr]
        evil.options.recorder.note(1 << 30, 0x4202, 0, b"", b"\xff" * 48)  # type: ignore[union-attr]
    raise KeyError("it fails")


@attack
def fills_the_shared_memory(evil: Evil) -> None:
    for shared in [found for found in gc.get_objects() if type(found).__name__ == "mmap"]:
        with suppress(TypeError, ValueError):
            shared[:] = b"\xff" * len(shared)
    memory = evil.options.recorder.memory  # type: ignore[union-attr]
    memory[:] = b"\xff" * len(memory)
    raise KeyError("it fails")


class _Text(str):
    def __str__(self) -> str:
        raise OSError("no text")

    def encode(self, *_: Any, **__: Any) -> bytes:
        raise OSError("no bytes")

    __repr__ = __str__
    __format__ = __str__  # type: ignore[assignment]


class _Wordless(PlatformError):
    def __str__(self) -> str:
        raise OSError("no text")

    __repr__ = __str__


class _Numeric(PlatformError):
    def __str__(self) -> str:
        return 7  # type: ignore[return-value]

    __repr__ = __str__


@attack
def raises_a_text_that_is_none(_: Evil) -> None:
    raise KeyError(_Text("x"))


@attack
def raises_without_words(_: Evil) -> None:
    raise _Wordless


@attack
def raises_a_number(_: Evil) -> None:
    raise _Numeric


@attack
def raises_five_megabytes(_: Evil) -> None:
    raise PlatformError("x" * 5_000_000)


@attack
def raises_many_lines(_: Evil) -> None:
    raise PlatformError(("x" * 99 + "\n") * 50_000)


@attack
def raises_surrogates(_: Evil) -> None:
    raise PlatformError("\ud800 \udfff")


@attack
def raises_escapes(evil: Evil) -> None:
    raise PlatformError(ESCAPES)


@attack
def raises_a_group(_: Evil) -> None:
    raise ExceptionGroup("many", [KeyError("one"), ExceptionGroup("more", [OSError("two")])])


@attack
def raises_an_interrupt(_: Evil) -> None:
    raise KeyboardInterrupt


@attack
def raises_another_base(_: Evil) -> None:
    raise type("Odd", (BaseException,), {})("odd")


@attack
def leaves_pytest(_: Evil) -> None:
    pytest.exit("enough", 0)


@attack
def leaves_python(_: Evil) -> None:
    sys.exit(0)


@attack
def leaves_at_once(_: Evil) -> None:
    os._exit(0)


@attack
def aborts(_: Evil) -> None:
    os.abort()


@attack
def reads_nowhere(_: Evil) -> None:
    ctypes.string_at(8)


@attack
def recurses(evil: Evil) -> None:
    recurses(evil)


@attack
def overflows_the_stack(_: Evil) -> None:
    sys.setrecursionlimit(1 << 30)
    nested: object = ()
    for _index in range(500_000):
        nested = (nested,)
    hash(nested)


@attack
def allocates_all_memory(_: Evil) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (1 << 28), resource.RLIM_INFINITY))
    kept = []
    try:
        while True:
            kept.append(bytearray(1 << 26))
    finally:
        kept.clear()


# ---------------------------------------------------------------------------------------------------------- its process


@attack
def limits_descriptors(_: Evil) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))


@attack
def limits_files(_: Evil) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


@attack
def limits_processes(_: Evil) -> None:
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


@attack
def changes_its_process(_: Evil) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    os.umask(0o777)
    os.chdir("/proc/self/fd")
    os.environ.clear()
    os.nice(5)
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, 0)


@attack
def replaces_modules(_: Evil) -> None:
    for name in [name for name in sys.modules if name.startswith(("worldswitch", "_pytest", "msgspec", "json"))]:
        sys.modules[name] = types.ModuleType(name)


@attack
def stops_the_clock(_: Evil) -> None:
    now = time.monotonic()
    time.monotonic = lambda: now
    time.sleep = lambda _: None
    while True:
        time.sleep(1)


@attack
def hides_while_it_hangs(_: Evil) -> None:
    faulthandler.disable()
    for signo in (signal.SIGQUIT, signal.SIGTERM, signal.SIGINT):
        signal.signal(signo, signal.SIG_IGN)
    while True:
        signal.pause()


@attack
def replaces_the_judge(_: Evil) -> None:
    from worldswitch.harness.cell import suite, trial
    from worldswitch.harness.verdict import Verdict

    suite.judge = lambda *_: trial.Result(verdict=Verdict.PASS)  # type: ignore[assignment]
    raise KeyError("it fails")


@attack
def changes_the_judge(_: Evil) -> None:
    from worldswitch.harness.cell import attribution, trial
    from worldswitch.harness.verdict import Verdict

    def judge(phases: object, owners: object, result: object = trial.Result(verdict=Verdict.PASS)) -> object:
        return result

    attribution.judge.__code__ = judge.__code__
    attribution.judge.__defaults__ = judge.__defaults__
    raise KeyError("it fails")


@attack
def mounts(_: Evil) -> None:
    with suppress(OSError):
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.make_mounts_private()
        _libc.mount(b"none", b"/tmp", b"tmpfs", 0, None)


# ------------------------------------------------------------------------------------------------------ other processes


@attack
def kills_its_parent(_: Evil) -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    while True:
        signal.pause()


@attack
def kills_its_parent_and_lives(_: Evil) -> None:
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, 0)
    os.kill(os.getppid(), signal.SIGKILL)
    while True:
        signal.pause()


@attack
def kills_its_group(_: Evil) -> None:
    os.kill(0, signal.SIGKILL)


@attack
def stops_its_parent(_: Evil) -> None:
    os.kill(os.getppid(), signal.SIGSTOP)


@attack
def traces_its_parent(_: Evil) -> None:
    with suppress(OSError):
        syscalls.ptrace(syscalls.PTRACE_ATTACH, os.getppid())
        time.sleep(0.1)


@attack
def stops_itself(_: Evil) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


@attack
def reaps_every_child(_: Evil) -> None:
    for _index in range(3):
        if os.fork() == 0:
            os._exit(0)
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def _pause() -> NoReturn:
    while True:
        signal.pause()


@attack
def forks_a_bomb(_: Evil) -> None:
    tokens, more = os.pipe()
    os.write(more, b"x" * 300)
    os.set_blocking(tokens, False)
    with suppress(BlockingIOError):
        while os.read(tokens, 1):
            os.fork()
    if os.getpid() != os.getsid(0):
        _pause()
    time.sleep(0.3)


@attack
def leaves_a_daemon(_: Evil) -> None:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setsid()
            for signo in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                signal.signal(signo, signal.SIG_IGN)
            _pause()
        os._exit(0)
    time.sleep(0.1)


def _chain() -> NoReturn:
    while True:
        os.setsid()
        if os.fork():
            os._exit(0)


@attack
def leaves_a_chain(_: Evil) -> None:
    if os.fork() == 0:
        _chain()
    time.sleep(0.2)


@attack
def dies_and_leaves_a_chain(_: Evil) -> None:
    for _index in range(3):
        if os.fork() == 0:
            _chain()
    os.kill(os.getpid(), signal.SIGKILL)


@attack
def runs_a_thread_for_ever(_: Evil) -> None:
    def spin() -> None:
        while True:
            pass

    threading.Thread(target=spin).start()


@attack
def writes_files(_: Evil) -> None:
    with tempfile.TemporaryFile() as file:
        file.truncate(1 << 40)
        file.write(b"x" * (1 << 20))


def names() -> Iterator[str]:
    """The names of all attacks."""
    return iter(ATTACKS)
