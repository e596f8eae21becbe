"""Guests that touch their memory, ready to be switched to."""

from __future__ import annotations

from worldswitch.harness.contract import Event, Platform, Syscall
from worldswitch.scenarios import guests
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage.stage import PAGE, Guest, Stage


def writer(stage: Stage) -> Guest:
    """A guest that will write to its data and report."""
    guest = stage.guest(guests.write_at)
    guest.state["rdi"] = guest.data_address
    return guest


def reader(stage: Stage, platform: Platform | None = None) -> Guest:
    """A guest that will read its data and report."""
    guest = stage.guest(guests.read_at, platform=platform)
    guest.state["rdi"] = guest.data_address
    return guest


def is_whole(guest: Guest) -> None:
    """The guest can still run, and still has every page of its data."""
    for offset in range(0, guest.data.size, PAGE):
        guest.state.pc, guest.state["rdi"] = guest.code, guest.data_address + offset
        assert guest.switch() == Syscall(Number.GETPID)


def reads(guest: Guest, address: int) -> Event:
    """Have a guest that plays `read_at` read the word at `address` into rsi."""
    guest.state.pc, guest.state["rdi"], guest.state["rsi"] = guest.code, address, 0
    return guest.context.switch(guest.space, guest.state)
