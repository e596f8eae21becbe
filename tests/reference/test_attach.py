"""A thread that cannot be attached to is dead or traced by another thread; each has its own error type."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from worldswitch.harness.contract import Died, HostError
from worldswitch.reference import tracee
from worldswitch.reference._core import lib
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.tracing_threads import thread_stat


class Refusing:
    """The C core, but attaching is refused; before that, something happens to the stub."""

    def __init__(self, happens: Callable[[int, int], None]) -> None:
        self._happens = happens

    def __getattr__(self, name: str) -> Any:
        return getattr(lib, name)

    def tracee_attach(self, handle: Any, options: int, status: Any) -> int:
        self._happens(handle.tgid, handle.tid)
        return -errno.EPERM


@pytest.fixture
def platform() -> Iterator[PtracePlatform]:
    made = PtracePlatform()
    yield made
    made.close()


def kill(pid: int, tid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    while (stat := thread_stat(pid, tid)) is not None and stat[0] not in "ZX":
        os.sched_yield()


def test_one_that_dies_as_it_is_attached_is_a_death(platform: PtracePlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    space, context, state = platform.new_address_space(), platform.new_context(), platform.new_state()
    monkeypatch.setattr(tracee, "lib", Refusing(kill))
    event = context.switch(space, state)
    assert isinstance(event, Died)
    assert str(event.cause) == "killed by signal 9"


def test_one_that_lives_is_somebody_elses(platform: PtracePlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    space, context, state = platform.new_address_space(), platform.new_context(), platform.new_state()
    with monkeypatch.context() as patch:
        patch.setattr(tracee, "lib", Refusing(lambda pid, tid: None))
        with pytest.raises(HostError, match=r"attaching to thread \d+ of stub \d+.*: Operation not permitted"):
            context.switch(space, state)
    assert not isinstance(context.switch(space, state), Died)
