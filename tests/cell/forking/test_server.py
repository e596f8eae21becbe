"""A fork server loads once, serves many, and a lost one is noticed within its deadline."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from worldswitch.harness.cell.forking import server
from worldswitch.harness.cell.forking.server import ForkServer, ServerLost
from worldswitch.harness.linux import processes


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    fds, below = len(list(Path("/proc/self/fd").iterdir())), processes.descendants(os.getpid()).keys()
    yield
    assert len(list(Path("/proc/self/fd").iterdir())) == fds
    assert processes.descendants(os.getpid()).keys() <= below


@contextmanager
def serving(body: Callable[[bytes], bytes], load: Callable[[], str] = lambda: "") -> Iterator[ForkServer]:
    made = ForkServer(load, body)
    try:
        made.ready(10)
        yield made
    finally:
        made.close()


LOADED: list[int] = []


def test_what_is_loaded_once_is_there_in_each_child_and_never_here() -> None:
    def load() -> str:
        LOADED.append(os.getpid())
        return ""

    with serving(lambda request: b"%s %d" % (request, LOADED[0]), load) as made:
        found = [made.supervise(b"request %d" % number, 10) for number in range(3)]
        assert [one.payload for one in found] == [b"request %d %d" % (number, made.pid) for number in range(3)]
        assert {one.status for one in found} == {0}
    assert LOADED == []


def test_a_childs_parent_is_the_server_and_the_servers_is_not_this_process() -> None:
    with serving(lambda _: str(os.getppid()).encode()) as made:
        assert made.supervise(b"", 10).payload == str(made.pid).encode()
        process = processes.read(made.pid)
        assert process is not None
        assert process.parent not in (os.getpid(), made.pid)


def test_each_child_has_its_own_status_and_output() -> None:
    def body(request: bytes) -> bytes:
        os.write(1, request)
        os._exit(int(request))

    with serving(body) as made:
        found = [made.supervise(b"%d" % number, 10) for number in (3, 4)]
    assert [(one.payload, os.waitstatus_to_exitcode(one.status or 0), one.output) for one in found] == [
        (None, 3, "3"),
        (None, 4, "4"),
    ]


def test_a_large_request_arrives() -> None:
    with serving(lambda request: str(len(request)).encode()) as made:
        assert made.supervise(b"x" * 30_000, 10).payload == b"30000"


def test_a_late_child_is_killed() -> None:
    with serving(lambda _: signal.pause() or b"") as made:
        begin = time.monotonic()
        ending = made.supervise(b"", 0.3)
        assert ending.late
        assert time.monotonic() - begin < 5
        assert made.usable


@pytest.mark.parametrize("signo", [signal.SIGSTOP, signal.SIGKILL])
def test_a_server_that_was_hit_is_not_usable(signo: signal.Signals) -> None:
    with serving(lambda _: b"") as made:
        assert made.usable
        os.kill(made.pid, signo)
        assert processes.wait_until(lambda: not made.usable, 5)


def test_a_stopped_server_is_lost_within_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "ANSWER", 0.2)
    with serving(lambda _: b"") as made:
        os.kill(made.pid, signal.SIGSTOP)
        with pytest.raises(ServerLost, match=r"did not answer within 0.2 s"):
            made.supervise(b"", 10)


def test_a_server_that_dies_while_it_loads_is_lost() -> None:
    made = ForkServer(lambda: os._exit(3), lambda _: b"")  # type: ignore[arg-type, return-value]
    with pytest.raises(ServerLost, match="it has ended"):
        made.ready(10)
    made.close()


def test_a_server_that_tells_nonsense_is_lost() -> None:
    with serving(lambda _: b"") as made:
        with Path(f"/proc/{made.pid}/fd/{made._told[1]}").open("wb", buffering=0) as told:
            told.write(b'@ws 00000000 ["child", 1]\n')
        assert processes.wait_until(lambda: not made.usable, 5)


def test_a_server_that_prints_while_it_loads_does_not_wait() -> None:
    def load() -> str:
        os.write(1, b"x" * (1 << 20) + b"the end")
        return ""

    with serving(lambda _: b"", load) as made:
        assert processes.wait_until(lambda: made.output().endswith("the end"), 5)


def test_what_loading_leaves_behind_is_seen() -> None:
    def load() -> str:
        if os.fork() == 0:
            threading.Event().wait()
        return ""

    with serving(lambda _: b"", load) as made:
        assert len(made.others()) == 1
