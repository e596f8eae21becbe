"""What address spaces and contexts ask of the platform that made them."""

from __future__ import annotations

from typing import Protocol

from worldswitch.harness.contract import State
from worldswitch.reference.stub_page import StubPage
from worldswitch.reference.stubprocess import StubProcess, Use
from worldswitch.reference.tracee import Tracee


class Services(Protocol):
    """The platform, as its address spaces and contexts know it."""

    page: StubPage
    xstate_size: int

    @property
    def address_range(self) -> tuple[int, int]:
        """See the contract."""

    def new_state(self) -> State:
        """See the contract."""

    def check_ours(self) -> None:
        """Raises `WrongThread` in a forked process."""

    def check_open(self) -> None:
        """Raises `Released` after close, and `WrongThread` in a forked process."""

    def acquire(self, stub: StubProcess, use: Use) -> Tracee:
        """A thread of the stub for the calling thread.  Raises `StubDied`, `HostError`, `Released`, `WrongThread`."""

    def take_back(self, stub: StubProcess) -> None:
        """Empty a released stub and pool it, or end it.  Raises `HostError` if it could not be emptied."""

    def take_back_later(self, stub: StubProcess) -> None:
        """The same in the background; errors are dropped, and the stub is ended then."""
