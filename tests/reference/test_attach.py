"""A thread that cannot be attached to is dead or traced by another thread; each has its own error type."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from worldswitch.harness.contract import Died, HostError
from worldswitch.harness.ptrace_denial import in_a_child
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


def in_a_domain_of_its_own(work: Callable[[], object]) -> object:
    """The result of `work` on a thread in a Landlock domain of its own, or its exception."""

    def run() -> object:
        libc = ctypes.CDLL(None, use_errno=True)
        handled = ctypes.c_uint64(in_a_child.LANDLOCK_ACCESS_FS_EXECUTE)
        libc.prctl(in_a_child.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        ruleset = libc.syscall(in_a_child.LANDLOCK_CREATE_RULESET, ctypes.byref(handled), ctypes.sizeof(handled), 0)
        if libc.syscall(in_a_child.LANDLOCK_RESTRICT_SELF, ruleset, 0) != 0:
            return None
        try:
            return work()
        except HostError as error:
            return error

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


@pytest.mark.skipif(in_a_child.landlock_domains() is None, reason="Landlock is not active")
def test_a_thread_in_a_landlock_domain_of_its_own_is_told_so(platform: PtracePlatform) -> None:
    space, context, state = platform.new_address_space(), platform.new_context(), platform.new_state()
    refused = in_a_domain_of_its_own(lambda: context.switch(space, state))
    assert isinstance(refused, HostError)
    nested = (in_a_child.landlock_domains() or 0) + 1
    domains = f"{nested} nested domain{'s' if nested > 1 else ''}"
    assert f"(Landlock: this thread is in {domains}; it may trace its own new child, not another thread's)" in str(
        refused
    )
    assert not isinstance(context.switch(space, state), Died), "the thread that made the platform may switch"


def test_the_domains_of_a_thread_are_counted() -> None:
    before = in_a_child.landlock_domains()
    inside = in_a_domain_of_its_own(in_a_child.landlock_domains)
    assert inside == (None if before is None else before + 1)
