"""Housekeeping examines every stub in turn, costs the same for any number, and has no false alarms."""

from __future__ import annotations

import mmap
import time
from unittest import mock

import pytest

from worldswitch.harness.contract import Options
from worldswitch.reference import housekeeping
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.stubprocess import StubProcess


def test_each_round_looks_after_some_stubs_and_all_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "STUBS_IN_A_ROUND", 2)
    monkeypatch.setattr(housekeeping, "ROUND", 0.0)
    rounds: list[list[StubProcess]] = []
    platform = PtracePlatform(Options())
    try:
        stubs = {platform.new_address_space().stub_process for _ in range(5)}
        with mock.patch.object(platform.housekeeping, "_look_after", rounds.append):
            for _ in range(3):
                platform.creator.call(platform.housekeeping.housekeep)
        assert all(len(looked) == 2 for looked in rounds)
        assert {stub for looked in rounds for stub in looked} == stubs
    finally:
        platform.close()


def test_requests_do_not_wait_for_it() -> None:
    platform = PtracePlatform(Options())
    try:
        with mock.patch.object(housekeeping, "ROUND", 3600.0):
            platform.creator.call(platform.housekeeping.housekeep)  # perhaps looks, and then not again for an hour
            with mock.patch.object(platform.housekeeping, "_look_after") as look:
                platform.housekeeping._next_look = time.monotonic() + 3600
                for _ in range(5):
                    platform.creator.call(lambda: None)
            look.assert_not_called()
    finally:
        platform.close()


def test_a_tracer_whose_tracee_just_stopped_at_each_look_was_not_robbed() -> None:
    platform = PtracePlatform(Options())
    try:
        space = platform.new_address_space()
        stub = space.stub_process

        def look() -> None:
            platform.creator.call(lambda: stub.look_for_stolen_stops(lambda _: mock.ANY))

        with mock.patch.object(StubProcess, "_stands", return_value=True):
            for _ in range(3):
                space.unmap(0x1000_0000, mmap.PAGESIZE)
                look()
            assert stub.cause is None
            look()
        assert stub.cause is not None
        assert "taken by another thread" in stub.cause.dump
    finally:
        platform.close()
