"""Scenarios for the fake platforms."""

from __future__ import annotations

from typing import Any

import pytest

from worldswitch.harness.contract import BadAddress, Syscall

scenario = pytest.mark.scenario


def _declare(*ids: str, needs: tuple[str, ...] = (), deadline: float = 20.0) -> Any:
    repeat = {"quick": 1, "normal": 2, "soak": 3}
    return scenario(*ids, clauses=("test",), needs=needs, repeat=repeat, deadline=deadline)


@_declare("BA01")
def a_guest_calls_getpid(stage: Any) -> None:
    """The guest's system call comes back with its number."""
    platform = stage.trial.platform()
    stage.trial.note("before the switch")
    event = platform.new_context().switch(platform.new_address_space(), platform.new_state())
    assert event == Syscall(39)


@_declare("BA02")
def a_range_that_overflows_is_refused(stage: Any) -> None:
    """Unmapping beyond the end of everything is a bad address."""
    with pytest.raises(BadAddress):
        stage.trial.platform().new_address_space().unmap(4096, 1 << 64)


@_declare("BB01", needs=("ptrace_denied",))
def a_denial_of_ptrace_is_looked_for(stage: Any) -> None:
    """A scenario about the denial of ptrace runs where it is denied."""
    assert stage.trial.probe("ptrace").state == "denied"
