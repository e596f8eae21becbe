"""The creator thread: every request gets an answer, whether the thread is closed, is closing, or has failed."""

from __future__ import annotations

import errno
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any
from unittest import mock

import pytest

from worldswitch.harness.contract import Death, Released, Unavailable
from worldswitch.harness.linux import processes
from worldswitch.reference import creator as creator_module
from worldswitch.reference.creator import Creator
from worldswitch.reference.ptrace import PtracePlatform

SECONDS = 10


class Idle:
    """A housekeeper with nothing to do."""

    def __init__(self) -> None:
        self.failures: list[BaseException] = []

    def housekeep(self) -> float:
        return 60.0

    def end_after(self, failure: BaseException) -> None:
        self.failures.append(failure)


class Failing(Idle):
    """A housekeeper whose second round runs out of memory."""

    rounds = 0

    def housekeep(self) -> float:
        self.rounds += 1
        if self.rounds == 2:
            raise MemoryError("no memory for a round")
        return 60.0


def bounded(function: Callable[[], object]) -> None:
    """Run `function` in a thread that must end within seconds."""
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    thread.join(SECONDS)
    assert not thread.is_alive(), f"{function} does not return"


def test_a_thread_that_cannot_begin_is_an_error_at_once() -> None:
    refusals: list[str] = []

    def make() -> None:
        with pytest.raises(Unavailable) as raised:
            Creator(Idle())
        refusals.append(str(raised.value))

    with mock.patch.object(creator_module, "lib", mock.Mock(rseq_unregister=lambda: -errno.EINVAL)):
        bounded(make)
    assert [f"errno {errno.EINVAL}" in one for one in refusals] == [True]


def test_a_request_that_arrives_behind_the_end_is_refused() -> None:
    creator = Creator(Idle())
    requests = creator._requests

    class ClosedOnTheWay(mock.Mock):
        """The queue, but the thread ends between a request's check and its arrival."""

        def put(self, item: object) -> None:
            creator._requests = requests
            bounded(creator.close)
            requests.put(item)  # type: ignore[arg-type]

    creator._requests = ClosedOnTheWay()
    future = creator.post(lambda: None)
    with pytest.raises(Released):
        future.result(SECONDS)


def test_a_request_that_arrives_when_the_queue_was_just_emptied_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    late: list[Future[None]] = []

    class Emptied(queue.SimpleQueue[Any]):
        """The queue, but a request is put there at the end, by a thread that saw no refusal before."""

        def get_nowait(self) -> Any:
            try:
                return super().get_nowait()
            except queue.Empty:
                if not late:
                    creator._refusal, late[:] = None, [Future()]
                    late[:] = [creator.post(lambda: None)]
                raise

    monkeypatch.setattr(queue, "SimpleQueue", Emptied)
    creator = Creator(Idle())
    bounded(creator.close)
    with pytest.raises(Released):
        late[0].result(SECONDS)


def test_what_was_asked_before_the_end_is_done() -> None:
    creator = Creator(Idle())
    futures = [creator.post(lambda i=i: i) for i in range(100)]
    creator.close()
    assert [future.result(SECONDS) for future in futures] == list(range(100))


def test_a_request_on_the_thread_itself_is_run_at_once() -> None:
    creator = Creator(Idle())
    assert creator.call(lambda: creator.call(lambda: 7)) == 7
    creator.close()


def test_what_is_queued_twice_over_at_the_end_is_refused_by_name() -> None:
    """The end is queued once for each `close`; only requests are refused, with a reason."""
    creator = Creator(Idle())
    creator.close()
    late: Future[object] = Future()
    creator._refusal = None
    creator._requests.put(None)
    creator._requests.put((lambda: None, late))
    creator._refuse_queued()
    with pytest.raises(Released, match="the platform is closed"):
        late.result(0)


def test_closing_races_no_request() -> None:
    """Many threads post while one closes: each is answered or refused."""
    creator = Creator(Idle())
    answers: list[object] = []

    def ask() -> None:
        try:
            while True:
                answers.append(creator.post(lambda: 1).result(SECONDS))
        except Released as refusal:
            answers.append(refusal)

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    creator.close()
    for thread in threads:
        thread.join(SECONDS)
    assert sum(isinstance(answer, Released) for answer in answers) == len(threads)


def test_a_failure_in_housekeeping_fails_the_requests_and_is_reported() -> None:
    housekeeper = Failing()
    creator = Creator(housekeeper)
    entered, go = threading.Event(), threading.Event()

    def block() -> None:
        entered.set()
        assert go.wait(SECONDS)

    creator.post(block)
    creator.post(lambda: None)
    assert entered.wait(SECONDS)
    behind = [creator.post(lambda: None) for _ in range(3)]
    go.set()
    for future in behind:
        with pytest.raises(Released, match=r"MemoryError.*no memory for a round"):
            future.result(SECONDS)
    with pytest.raises(Released, match="no memory for a round"):
        creator.call(lambda: None)
    bounded(creator.close)
    assert [type(failure) for failure in housekeeper.failures] == [MemoryError]


@pytest.fixture
def failed() -> Iterator[tuple[PtracePlatform, Any]]:
    """A platform whose creator thread has failed, and an address space of before."""
    platform = PtracePlatform()
    space = platform.new_address_space()
    with mock.patch.object(platform.housekeeping, "housekeep", side_effect=MemoryError):
        platform.creator.post(lambda: None)
        platform.creator._thread.join(SECONDS)
    assert not platform.creator._thread.is_alive()
    yield platform, space
    bounded(platform.close)


def test_a_platform_whose_creator_failed_refuses_and_its_stubs_are_broken(failed: tuple[PtracePlatform, Any]) -> None:
    platform, space = failed
    with pytest.raises(Released, match="MemoryError"):
        platform.new_address_space()
    assert space.stub_process.cause.death is Death.BROKEN
    assert "MemoryError" in space.stub_process.cause.dump


def test_a_platform_whose_creator_failed_closes_and_leaves_nothing(failed: tuple[PtracePlatform, Any]) -> None:
    platform, space = failed
    pid = space.stub_process.pid
    bounded(platform.close)
    until = time.monotonic() + SECONDS
    while pid in processes.descendants(os.getpid()) and time.monotonic() < until:
        time.sleep(0.01)
    assert pid not in processes.descendants(os.getpid())
