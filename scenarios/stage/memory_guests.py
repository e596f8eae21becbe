"""Guests that access their memory."""

from __future__ import annotations

from worldswitch.harness.contract import Event, Platform, Syscall
from worldswitch.scenarios import guests
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage.stage import PAGE, Guest, Stage


def writer(stage: Stage) -> Guest:
    """A guest that will write to its data and make a system call."""
    guest = stage.guest(guests.write_at)
    guest.state["rdi"] = guest.data_address
    return guest


def reader(stage: Stage, platform: Platform | None = None) -> Guest:
    """A guest that will read its data and make a system call."""
    guest = stage.guest(guests.read_at, platform=platform)
    guest.state["rdi"] = guest.data_address
    return guest


def is_whole(guest: Guest) -> None:
    """Check that the guest runs, and can read every page of its data."""
    for offset in range(0, guest.data.size, PAGE):
        guest.state.pc, guest.state["rdi"] = guest.code, guest.data_address + offset
        assert guest.switch() == Syscall(Number.GETPID)


def reads(guest: Guest, address: int) -> Event:
    """Run a `read_at` guest to read the word at `address` into rsi; its event."""
    guest.state.pc, guest.state["rdi"], guest.state["rsi"] = guest.code, address, 0
    return guest.context.switch(guest.space, guest.state)
