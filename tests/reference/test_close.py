"""Closing a platform: once, completely even after errors, and with the process's settings restored."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from collections.abc import Iterator
from unittest import mock

import pytest

from worldswitch.harness.contract import Options, Placement
from worldswitch.reference import cpu_pinning, sigchld
from worldswitch.reference.cpu_pinning import CpuPinning
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.tracing_threads import TracingThread

SECONDS = 10
SA_NOCLDSTOP = 1  # asm-generic/signal-defs.h


class Action(ctypes.Structure):
    """The C library's struct sigaction, x86-64."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_ulong * 16),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


def ignores_stops() -> bool:
    action = Action()
    assert ctypes.CDLL(None).sigaction(signal.SIGCHLD, None, ctypes.byref(action)) == 0
    return bool(action.flags & SA_NOCLDSTOP)


@pytest.fixture
def platform() -> Iterator[PtracePlatform]:
    made = PtracePlatform()
    yield made
    made.close()


def test_a_second_thread_waits_until_all_is_ended(platform: PtracePlatform) -> None:
    ending, go = threading.Event(), threading.Event()
    end_all = platform.housekeeping.end_all

    def slowly() -> None:
        ending.set()
        assert go.wait(SECONDS)
        end_all()

    closers = [threading.Thread(target=platform.close, daemon=True) for _ in range(2)]
    with mock.patch.object(platform.housekeeping, "end_all", slowly):
        closers[0].start()
        assert ending.wait(SECONDS)
        closers[1].start()
        closers[1].join(0.3)
        assert closers[1].is_alive(), "close returned before the stubs were gone"
        go.set()
        for closer in closers:
            closer.join(SECONDS)
            assert not closer.is_alive()


def test_a_handler_may_close_what_is_being_closed(platform: PtracePlatform) -> None:
    with mock.patch.object(platform.creator, "close", side_effect=platform.close):
        closer = threading.Thread(target=platform.close, daemon=True)
        closer.start()
        closer.join(SECONDS)
        assert not closer.is_alive()
    platform.creator.close()


def test_an_error_at_the_end_of_the_stubs_skips_nothing(platform: PtracePlatform) -> None:
    end_all = platform.housekeeping.end_all
    page = f"{platform.page.begin:x}-"
    with mock.patch.object(platform.pinning, "unpin") as unpin:
        with (
            mock.patch.object(platform.housekeeping, "end_all", side_effect=OSError("no")),
            pytest.raises(OSError, match="no"),
        ):
            platform.close()
        unpin.assert_called_once_with()
    assert not platform.creator._thread.is_alive()
    with open("/proc/self/maps") as maps:
        assert page not in maps.read()
    end_all()


def test_the_action_for_sigchld_is_as_it_was() -> None:
    before = ignores_stops()
    first, second = PtracePlatform(), PtracePlatform()
    assert ignores_stops()
    first.close()
    assert ignores_stops()
    second.close()
    assert ignores_stops() == before


def test_an_action_that_was_installed_since_is_left_alone() -> None:
    libc, before, own = ctypes.CDLL(None), Action(), Action()
    libc.sigaction(signal.SIGCHLD, None, ctypes.byref(before))
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        sigchld.ignore_stops()
        own.handler, own.flags = int(signal.SIG_IGN), SA_NOCLDSTOP  # one that ignores stops by its own wish
        libc.sigaction(signal.SIGCHLD, ctypes.byref(own), None)
        sigchld.heed_stops()
        assert ignores_stops()
    finally:
        libc.sigaction(signal.SIGCHLD, ctypes.byref(before), None)


def test_nothing_is_pinned_after_the_end() -> None:
    pinning, before = CpuPinning(), os.sched_getaffinity(0)
    pinning.unpin()
    try:
        pinning.pin()
        assert os.sched_getaffinity(0) == before
    finally:
        os.sched_setaffinity(0, before)


def test_a_thread_that_has_a_pinned_threads_id_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    pinning, me = CpuPinning(), TracingThread.current()
    asked: list[int] = []
    monkeypatch.setattr(cpu_pinning, "_set_affinity", lambda tid, cpus: asked.append(tid))
    pinning._masks = {TracingThread(me.tid, me.start_time - 1): {0}}
    pinning.unpin()
    assert asked == []
    pinning._masks = {me: {0}}
    pinning.unpin()
    assert asked == [me.tid]


def test_threads_are_pinned_while_others_are_unpinned() -> None:
    """A first switch that comes in the middle of close."""
    platform = PtracePlatform(Options(placement=Placement.PIN))
    before = os.sched_getaffinity(0)
    looks = TracingThread.has_vanished

    def pin_meanwhile(thread: TracingThread, *, thoroughly: bool) -> bool:
        comer = threading.Thread(target=platform.pinning.pin, daemon=True)
        comer.start()
        comer.join(SECONDS)
        return looks(thread, thoroughly=thoroughly)

    try:
        platform.pinning.pin()
        with mock.patch.object(TracingThread, "has_vanished", pin_meanwhile):
            platform.close()
        assert os.sched_getaffinity(0) == before
    finally:
        os.sched_setaffinity(0, before)
