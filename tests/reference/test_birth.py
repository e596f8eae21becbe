"""Stub creation that fails: the caller gets the error, and the process is reaped."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from worldswitch.harness.contract import HostError, Unavailable
from worldswitch.harness.linux import processes
from worldswitch.reference import stub_creation
from worldswitch.reference._core import lib
from worldswitch.reference.birth_plan import Step, StubPlan
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stub_creation import StubCreation
from worldswitch.reference.stubprocess import StubProcess
from worldswitch.reference.tracee import Tracee


class Sealed(StubProcess):
    """A stub on a kernel that seals its own mappings."""

    def unmap_all(self, tracee: Tracee) -> None:
        raise HostError(errno.EPERM, "munmap in the stub")


def test_a_stub_that_cannot_be_finished_is_ended() -> None:
    platform = PtracePlatform()
    taken = platform.new_address_space()
    before = processes.descendants(os.getpid()).keys()
    platform.stub_creation.stub_class = Sealed
    with pytest.raises(HostError):
        platform.new_address_space()
    until = time.monotonic() + 10
    while (left := processes.descendants(os.getpid()).keys() - before) and time.monotonic() < until:
        time.sleep(0.01)
    platform.stub_creation.stub_class = StubProcess
    taken.release()
    platform.close()
    assert not left


class Stuck(StubCreation):
    """Its stubs never reach their first instruction, as if they were frozen."""

    patience = 0.2
    frozen = False

    def make_plan(self, go: int) -> StubPlan:
        plan = super().make_plan(go)
        stop = Step("pause", lib.SYS_pause)
        return replace(plan, steps=(*plan.steps[:3], stop, *plan.steps[3:])) if self.frozen else plan


class PlatformOfStuck(PtracePlatform):
    stub_creation_class = Stuck


def test_a_stub_that_does_not_come_is_given_up() -> None:
    platform = PlatformOfStuck()
    taken = platform.new_address_space()
    before = processes.descendants(os.getpid()).keys()
    assert isinstance(platform.stub_creation, Stuck)
    platform.stub_creation.frozen = True
    with pytest.raises(HostError, match="does not get past pause") as refusal:
        platform.new_address_space()
    assert refusal.value.errno == errno.ETIMEDOUT
    assert processes.descendants(os.getpid()).keys() <= before
    platform.stub_creation.frozen = False
    platform.new_address_space()
    taken.release()
    platform.close()


SIGUSR1_STOP = signal.SIGUSR1 << 8 | 0x7F
NOBODY = 1 << 30  # above PID_MAX_LIMIT


class Core:
    """The C core with some functions replaced."""

    def __init__(self, **others: Callable[..., Any]) -> None:
        self.__dict__.update(others)

    def __getattr__(self, name: str) -> Any:
        return getattr(lib, name)


@pytest.fixture
def creation() -> Iterator[StubCreation]:
    made = PlatformOfStuck()
    yield made.stub_creation
    made.close()


class Waits:
    """Waits for the new child that return `status` so many times, and -ECHILD afterwards."""

    def __init__(self, status: int, times: float) -> None:
        self.status, self.left = status, times
        self.count = 0

    def __call__(self, pid: int, options: int, status: Any) -> int:
        self.count += 1
        self.left -= 1
        if self.left < 0:
            return -errno.ECHILD
        status[0] = self.status
        return pid


def test_a_child_whose_death_a_stranger_collects_is_an_error_at_once(
    creation: StubCreation, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, killed = Waits(SIGUSR1_STOP, 1), list[int]()
    core = Core(
        stub_fork=lambda *_: NOBODY,
        tracee_request=lambda *_: 0,
        tracee_wait=waits,
        signal_thread=lambda tgid, tid, signo: killed.append(tid),
    )
    with monkeypatch.context() as patch:
        patch.setattr(stub_creation, "lib", core)
        with pytest.raises(HostError, match="wait for any child") as error:
            creation.fork(creation.make_plan(0), os.open(os.devnull, os.O_WRONLY))
    assert error.value.errno == errno.ECHILD
    assert waits.count == 2
    assert killed == [], "its pid may be another's by now"


def test_a_storm_of_signals_does_not_outlast_the_patience(
    creation: StubCreation, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(
            stub_creation, "lib", Core(tracee_wait=Waits(SIGUSR1_STOP, float("inf")), tracee_request=lambda *_: 0)
        )
        with pytest.raises(HostError) as error:
            creation.await_entry(NOBODY, creation.make_plan(0), stub_creation.ffi.new("struct boot *"))
    assert error.value.errno == errno.ETIMEDOUT


def test_a_child_that_died_is_not_killed_again(creation: StubCreation, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    plan = replace(creation.make_plan(0), steps=(Step("getppid", lib.SYS_getppid, (), -1),))
    with monkeypatch.context() as patch:
        patch.setattr(stub_creation, "lib", Core(signal_thread=lambda tgid, tid, signo: killed.append(tid)))
        with pytest.raises(Unavailable, match="ended with status 1 at step 1, getppid"):
            creation.fork(plan, os.open(os.devnull, os.O_WRONLY))
    assert killed == []


def test_an_abandoned_child_is_reaped_past_its_stops(creation: StubCreation, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = Waits(SIGUSR1_STOP, 3)
    with monkeypatch.context() as patch:
        patch.setattr(stub_creation, "lib", Core(tracee_wait=waits, signal_thread=lambda *_: 0))
        creation.abandon(NOBODY)
    assert waits.count == 4


def test_a_child_that_a_stranger_reaped_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_child(*_: object) -> None:
        raise ChildProcessError

    monkeypatch.setattr(os, "waitid", no_child)
    assert stub_creation._is_dead(1)
