"""A stub's death: an interrupted wait keeps the cause, and a process that gets the pid gets no signal."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest

from worldswitch.harness.contract import Cause, Death, StubDied
from worldswitch.reference import stubprocess, tracee
from worldswitch.reference._core import lib
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stubprocess import StubProcess, Use

SECONDS = 10


class Core:
    """The C core with some functions replaced."""

    def __init__(self, **others: Callable[..., Any]) -> None:
        self.__dict__.update(others)

    def __getattr__(self, name: str) -> Any:
        return getattr(lib, name)


@pytest.fixture
def platform() -> Iterator[PtracePlatform]:
    made = PtracePlatform()
    yield made
    made.close()


@pytest.fixture
def stub(platform: PtracePlatform) -> StubProcess:
    stub = platform.new_address_space().stub_process
    assert stub is not None
    return stub


def test_a_signal_in_the_wait_for_the_cause_does_not_change_it(
    platform: PtracePlatform, stub: StubProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying = platform.creator.call(lambda: stub.worker)
    answers = [
        (-errno.EINTR, 0),
        (dying.tid, signal.SIGUSR1 << 8 | 0x7F),
        (-errno.EINTR, 0),
        (dying.tid, signal.SIGSYS),
    ]

    def wait(tid: int, options: int, status: Any) -> int:
        rc, found = answers.pop(0)
        if rc > 0:
            status[0] = found
        return rc

    monkeypatch.setattr(tracee, "lib", Core(tracee_wait=wait))
    assert dying.gone() == Cause(Death.SECCOMP, signo=signal.SIGSYS)


def test_a_stub_that_is_being_reaped_gets_no_signal_afterwards(
    stub: StubProcess, platform: PtracePlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leader is reaped while another thread is about to kill it: its pid may be another process's by then."""
    sent: list[tuple[int, bool]] = []
    killers: list[threading.Thread] = []

    def wait(tid: int, options: int, status: Any) -> int:
        rc: int = lib.tracee_wait(tid, options, status)
        if tid == stub.pid and rc == stub.pid:  # from here on the pid is free
            killers.append(threading.Thread(target=stub.kill, daemon=True))
            killers[0].start()
            killers[0].join(0.3)
        return rc

    def send(tgid: int, tid: int, signo: int) -> int:
        sent.append((tgid, bool(killers)))
        return int(lib.signal_thread(tgid, tid, signo))

    monkeypatch.setattr(stubprocess, "lib", Core(tracee_wait=wait, signal_thread=send))
    stub.bury(Cause(Death.BROKEN))
    assert stub.reaped.wait(SECONDS)
    killers[0].join(SECONDS)
    assert not killers[0].is_alive()
    assert (stub.pid, True) not in sent


def test_a_stub_that_a_stranger_reaped_gets_no_signal(stub: StubProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(stubprocess, "lib", Core(signal_thread=lambda tgid, tid, signo: sent.append(signo)))
        patch.setattr(stub, "pid", os.getppid())  # no child of ours
        stub.kill()
    assert sent == []


def test_a_nudge_that_comes_late_goes_nowhere(
    stub: StubProcess, platform: PtracePlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = platform.new_context()
    worker = platform.creator.call(lambda: stub.worker)
    stub.bury(Cause(Death.BROKEN))
    assert stub.reaped.wait(SECONDS)
    sent: list[int] = []
    monkeypatch.setattr(stubprocess, "lib", Core(signal_thread=lambda tgid, tid, signo: sent.append(signo)))
    context.nudge(worker)
    assert sent == []


def test_a_stub_is_not_reaped_before_its_tracees_are_lost(
    stub: StubProcess, platform: PtracePlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their tracers pass their thread ids to the kernel until then."""
    lost_at_waits: list[bool] = []

    def lose(handle: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            platform.creator.call(stub.reap)  # housekeeping, in the middle of `bury`
        lib.tracee_lose(handle)

    def wait(tid: int, options: int, status: Any) -> int:
        if stub.cause is not None:
            lost_at_waits.append(all(one.handle.state == lib.TRACEE_LOST for one in stub._all_tracees()))
        return int(lib.tracee_wait(tid, options, status))

    monkeypatch.setattr(stubprocess, "lib", Core(tracee_lose=lose, tracee_wait=wait))
    stub.bury(Cause(Death.BROKEN))
    assert stub.reaped.wait(SECONDS)
    assert all(lost_at_waits)


def test_a_dead_stub_has_no_worker_and_tells_its_cause(stub: StubProcess, platform: PtracePlatform) -> None:
    cause = stub.bury(Cause(Death.SECCOMP, signo=signal.SIGSYS))
    with pytest.raises(StubDied) as raised:
        platform.creator.call(lambda: stub.worker)
    assert raised.value.cause == cause


def test_a_stub_that_never_had_a_worker_is_broken(stub: StubProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(stub, "_worker", None)
        with pytest.raises(StubDied) as raised:
            _ = stub.worker
    assert raised.value.cause == Cause(Death.BROKEN)


def test_a_parked_thread_that_was_left_is_used_before_another_is_made(
    stub: StubProcess, platform: PtracePlatform
) -> None:
    """`spawn` after an acquire that an exception ended finds the thread that the first one made."""
    for _ in range(2):
        platform.creator.call(lambda: stub.spawn(Use.GUEST))
    assert len(stub._tracees[Use.GUEST]) == 1


def test_a_stub_belongs_to_the_process_that_made_it(stub: StubProcess) -> None:
    assert stub.is_ours
    with mock.patch.object(stubprocess.os, "getpid", return_value=os.getpid() + 1):
        assert not stub.is_ours


def test_a_stub_whose_burial_an_exception_interrupts_is_ended_all_the_same(stub: StubProcess) -> None:
    with mock.patch.object(stub, "kill", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        stub.bury(Cause(Death.BROKEN))
    assert stub.reaped.wait(SECONDS)


def test_a_reaped_stubs_threads_are_nobodys(stub: StubProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    stub.bury(Cause(Death.BROKEN))
    assert stub.reaped.wait(SECONDS)
    monkeypatch.setattr(stub, "pid", os.getpid())  # as if the pid were given out again
    waited: list[int] = []
    monkeypatch.setattr(stubprocess, "lib", Core(tracee_wait=lambda tid, *_: waited.append(tid)))
    assert stub.tids() == ()
    assert stub.reap()
    assert waited == []


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU is no choice")
@pytest.mark.parametrize("state", [lib.TRACEE_LOST, lib.TRACEE_PARKED])
def test_a_thread_that_is_not_traced_is_bound_to_no_cpu(state: int) -> None:
    """Its id may be another thread's: here it is our own."""
    before = os.sched_getaffinity(0)
    handle = lib.tracee_new(os.getpid(), threading.get_native_id())
    handle.state, handle.placement = state, lib.PLACEMENT_FOLLOW
    try:
        lib.tracee_place(handle)
        assert os.sched_getaffinity(0) == before
    finally:
        os.sched_setaffinity(0, before)
        lib.tracee_drop(handle)
