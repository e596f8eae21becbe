"""An exception of a signal handler at any step of a switch, or at two, loses no event."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType

import pytest
from paths import ROOT
from worlds import stage as stage

from worldswitch.harness.contract import Access, Event, Fault, Interrupted
from worldswitch.scenarios import guests
from worldswitch.scenarios.stage.accounts import Accounts
from worldswitch.scenarios.stage.stage import PAGE, Guest, Stage

#: More places than the longest way through a switch has.
PLACES = 80


class Alarm(Exception):
    """What a handler raises."""


@contextmanager
def raising_at(place: int) -> Iterator[list[int]]:
    """Raise where handlers would run for the `place`-th time: on entry of a function, and after one of C's."""
    seen = [0]

    def profile(frame: FrameType, event: str, function: object) -> None:
        if event in ("call", "c_return") and frame.f_code.co_filename.startswith(f"{ROOT}/reference/"):
            seen[0] += 1
            if seen[0] == place:
                raise Alarm

    sys.setprofile(profile)
    try:
        yield seen
    finally:
        sys.setprofile(None)


def switch(guest: Guest, *places: int) -> Event:
    """Switch, with an exception at each place in turn, until an event comes."""
    for place in places:
        try:
            with raising_at(place):
                return guest.context.switch(guest.space, guest.state)
        except Alarm:
            pass
    return guest.context.switch(guest.space, guest.state)


class Raised(Accounts):
    """A guest that keeps accounts, each of whose switches is ended by exceptions first."""

    places: tuple[int, ...] = ()

    def switch(self) -> object:
        return switch(self.guest, *self.places)


@pytest.mark.parametrize("anew", [False, True], ids=["again", "anew"])
@pytest.mark.parametrize("resident", [False, True], ids=["default", "resident"])
def test_accounts_are_exact(stage: Stage, resident: bool, anew: bool) -> None:
    account = Raised(stage, stage.space(), resident=resident)
    account.run(2)
    for place in range(1, PLACES):
        account.places = (place, place // 3 + 1, place)
        if anew:
            account.guest.context.pull()
            account.guest.state.write_xstate(bytes(account.guest.state.xstate))
        account.run(2)


@pytest.mark.parametrize("resident", [False, True], ids=["default", "resident"])
def test_a_thread_shared_by_contexts_is_exact(stage: Stage, resident: bool) -> None:
    space = stage.space()
    accounts = [Raised(stage, space, resident=resident), Raised(stage, space, resident=True)]
    for place in range(1, PLACES):
        for account in accounts:
            account.run(1)
            account.places = (place, place // 2 + 1)


def test_a_fault_comes_once_and_its_access_is_right(stage: Stage) -> None:
    guest = stage.guest(guests.write_at)
    guest.switch()
    for place in range(1, PLACES):
        address = stage.place(guest.space, PAGE)
        guest.state.pc, guest.state["rdi"] = guest.code, address
        fault = switch(guest, place, place // 2 + 1)
        assert isinstance(fault, Fault)
        assert (fault.address, fault.access) == (address, Access.READ)
        assert guest.state.pc == guest.code


def test_an_interrupt_comes_once(stage: Stage) -> None:
    account = Raised(stage, stage.space())
    account.run(1)
    for place in range(1, PLACES):
        account.places = ()
        account.guest.context.interrupt()
        assert switch(account.guest, place, place // 2 + 1) == Interrupted()
        account.run(1)
        assert account.interrupts == 0


def test_a_guest_that_computes_is_stopped(stage: Stage) -> None:
    guest = stage.guest(guests.count_loop)
    guest.context.interrupt()
    guest.switch()
    for place in range(1, 4):
        guest.context.interrupt()
        assert stage.bounded(partial(switch, guest, place)) == Interrupted()
