"""A resident context whose thread is ending: its extended state is waited for, by rounds and not by the clock."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from worldswitch.harness.contract import WrongThread
from worldswitch.reference import extended_state
from worldswitch.reference._core import ffi
from worldswitch.reference.extended_state import ExtendedState


class Ending(ExtendedState):
    """A context whose owner, ended for Python, parks its tracee at the `rounds`-th look."""

    def __init__(self, rounds: float, owner: int) -> None:
        super().__init__(0, resident=True)
        self.looks, self.rounds, self.searches = 0, rounds, 0
        stub = SimpleNamespace(cause=None, look_for_vanished=self._search)
        handle = SimpleNamespace(owner=1, thread=owner, resident=ffi.new("int *"))
        self._holder = SimpleNamespace(stub=stub, handle=handle, user=self)  # type: ignore[assignment]

    def _search(self) -> None:
        self.searches += 1

    def _is_kept_by(self, holder: Any) -> bool:
        self.looks += 1
        return self.looks <= self.rounds


@pytest.fixture(autouse=True)
def stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this process stood still for a second between any two steps."""
    clock = iter(range(1_000_000_000))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)


def test_an_owner_that_ends_is_waited_for_while_the_clock_goes_on() -> None:
    context = Ending(100, owner=0)
    context._pull()
    assert context.looks > 100
    assert context.searches, "an owner that vanished would be waited for in vain"


def test_an_owner_that_python_knows_is_alive() -> None:
    context = Ending(float("inf"), owner=threading.get_ident())
    with pytest.raises(WrongThread, match=r"pull\(\)"):
        context._pull()
    assert context.looks < 10


def test_an_owner_that_does_not_end_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extended_state, "END_ROUNDS", 50, raising=False)
    with pytest.raises(WrongThread):
        Ending(float("inf"), owner=0)._pull()
