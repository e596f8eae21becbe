"""Freezers: guests and harnesses that a control group freezes continue where they were."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from worldswitch.harness.contract import Interrupted
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.stage import children
from worldswitch.scenarios.stage.cgroups import Group, group_of
from worldswitch.scenarios.stage.children import Line
from worldswitch.scenarios.stage.deaths import stub_of
from worldswitch.scenarios.stage.stage import Stage
from worldswitch.scenarios.stage.steady_guests import Computing, makes_calls, outcome_of

#: Seconds of a freeze: longer than any periodic work of a platform.
FREEZE = 0.3

#: Seconds that a freeze may take before it is tried again.
FREEZING = 0.5


@scenario("EV07", "K73", clauses=("gvisor 4a8eae08b", "cgroups(7)"), needs="freezer", normal=3, soak=100)
def a_frozen_guest_goes_on_where_it_was(stage: Stage) -> None:
    """A stub frozen while its guest runs continues after the thaw, loses no interrupt and affects no other stub."""
    other = stage.guest(guests.getpid_loop)
    with Computing(stage) as computing, freezer() as group:
        group.add(computing.pid)
        for _ in range(stage.trial.repeat):
            with frozen(stage, group):
                seen = computing.count
                makes_calls(other, 20)
                assert computing.count == seen, "a frozen guest computed on"
            computing.computes_on("a freeze")
        with frozen(stage, group):
            computing.guest.context.interrupt()
            makes_calls(other, 20)
        event = computing.running.result()
        assert event == Interrupted(), f"a guest interrupted while frozen returned {event!r}"
        computing.is_exact()


@scenario("EV07", "K73", clauses=("gvisor 4a8eae08b", "CRIU#1905", "cgroups(7)"), needs="freezer", normal=3, soak=100)
def a_frozen_harness_goes_on_where_it_was(stage: Stage) -> None:
    """A harness frozen between any two instructions, alone or with its stub, loses no stop."""
    harness = children.fork(stage, lambda line: _switch_until_told(stage, line))
    stub = harness.hear(10)
    assert isinstance(stub, int)
    with freezer() as group:
        for member in (harness.pid, stub):
            gone = outcome_of(partial(group.add, member))
            assert gone is None, f"a freeze ended process {member}: {gone}"
            for _ in range(stage.trial.repeat):
                with frozen(stage, group):
                    pass
        with suppress(BrokenPipeError):  # the result of a failed harness shows the failure
            harness.line.send("enough")
        harness.result(10)
        harness.wait(5)


def _switch_until_told(stage: Stage, line: Line) -> None:
    guest = stage.guest(guests.getpid_loop)
    makes_calls(guest, 3)
    line.send(stub_of(stage, guest.space))
    told = threading.Thread(target=line.receive, args=(20,), daemon=True)
    told.start()
    while told.is_alive():
        makes_calls(guest, 20)


# --------------------------------------------------------------------------------------------------------------- pieces


@contextmanager
def freezer() -> Iterator[Group]:
    """A control group to freeze; thawed at the end, since frozen tasks cannot be killed (cgroup v1)."""
    with group_of("freezer") as group:
        try:
            yield group
        finally:
            _thaw(group)


@contextmanager
def frozen(stage: Stage, group: Group) -> Iterator[None]:
    """Freeze everything in a group for the block and a little longer."""
    try:
        stage.wait_until(lambda: _freezes(group), 10, "the group is frozen")
        yield
        time.sleep(FREEZE)
    finally:
        _thaw(group)


def _freezes(group: Group) -> bool:
    """Try to freeze the group; version 1 may get stuck, so a failed attempt thaws it for the next one."""
    group.set({"freezer.state": "FROZEN", "cgroup.freeze": 1})
    give_up = time.monotonic() + FREEZING
    while not (done := _is_frozen(group)) and time.monotonic() < give_up:
        time.sleep(0.001)
    if not done:
        _thaw(group)
    return done


def _thaw(group: Group) -> None:
    group.set({"freezer.state": "THAWED", "cgroup.freeze": 0})


def _is_frozen(group: Group) -> bool:
    """Whether the whole group is frozen; versions 1 and 2 say so in different files."""
    return any(
        word in path.read_text()
        for name, word in (("freezer.state", "FROZEN"), ("cgroup.events", "frozen 1"))
        if (path := Path(group.directory) / name).exists()
    )
