"""Lanes: machines in parallel, the cells of each one after the other, all closed on an interrupt."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from scripted import NAMES, SCENARIOS, Quiet, ScriptedCell, frames, header, place, planner, trial, whole

from worldswitch.harness.environments import plan
from worldswitch.harness.environments.protocol import Environment, Lane, Missing
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.expectations.outcome import Status, status
from worldswitch.harness.run.lanes import Lanes
from worldswitch.harness.run.request import Request
from worldswitch.harness.run.runner import Run

GOOD = frames(whole(*(trial(name) for name in NAMES)))


class Machine:
    """A lane without a machine."""

    def __init__(self, problem: Unobtainable | None = None) -> None:
        self.problem = problem
        self.log: list[str] = []
        self.down = threading.Event()

    def open(self) -> None:
        self.log.append("open")
        if self.problem:
            raise self.problem

    def close(self) -> None:
        self.log.append("close")
        self.down.set()


def on(machine: Machine, name: str, *lines: object) -> Environment:
    """An environment on a machine, whose cells send `lines`."""
    found = place(name, lines or GOOD)  # type: ignore[arg-type]
    found.lane = machine  # type: ignore[attr-defined]
    return found


@pytest.fixture
def go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> object:
    """Run in these environments, `width` lanes in parallel."""

    def run(*places: Environment | Missing, width: int = 2) -> Run:
        monkeypatch.setattr(plan, "plan", planner(*places))
        made = Run(Request(), SCENARIOS, tmp_path, Quiet(), lanes=Lanes(width))
        made.go()
        return made

    return run


def test_a_machine_is_open_for_its_cells_and_closed_after_them(go) -> None:
    first, second = Machine(), Machine()
    run = go(on(first, "linux-1:a"), on(second, "linux-2:a"), on(first, "linux-1:b"))
    assert [outcome.cell.environment for outcome in run.outcomes] == ["linux-1:a", "linux-2:a", "linux-1:b"]
    assert status(run.outcomes) is Status.AS_EXPECTED
    assert first.log == ["open", "open", "close"]
    assert second.log == ["open", "close"]


def test_the_number_of_parallel_lanes_is_bounded() -> None:
    going: list[int] = []
    most: list[int] = []
    lock = threading.Lock()

    def do(number: int) -> None:
        with lock:
            going.append(number)
            most.append(len(going))
        time.sleep(0.03)
        with lock:
            going.remove(number)

    tasks: list[tuple[Lane | None, int]] = [(Machine(), number) for number in range(6)]
    Lanes(2).run(tasks, do)
    assert max(most) == 2
    assert len(most) == 6


def test_cells_without_a_lane_run_first() -> None:
    order: list[str] = []
    Lanes(2).run([(Machine(), "machine"), (None, "host"), (None, "container")], order.append)
    assert order == ["host", "container", "machine"]


def test_a_machine_that_does_not_boot_affects_its_own_cells_only(go) -> None:
    lost = Machine(Unobtainable("the guest panicked", "see its console"))
    run = go(on(lost, "linux-1:a"), on(lost, "linux-1:b"), on(Machine(), "linux-2:a"))
    problems = [outcome.problem and outcome.problem.reason for outcome in run.outcomes]
    assert problems == ["the guest panicked", "the guest panicked", None]
    assert run.outcomes[0].problem.remedy == "see its console"
    assert status(run.outcomes) is Status.COULD_NOT_RUN


def test_an_interrupt_closes_open_lanes_and_the_rest_is_a_miss(go) -> None:
    machine = Machine()

    def wait_for_the_end() -> bytes:
        os.kill(os.getpid(), signal.SIGINT)
        machine.down.wait(10)
        return b""

    other = Machine()
    run = go(
        on(machine, "linux-1:a", *frames([header(), trial(NAMES[0])]), wait_for_the_end),
        on(machine, "linux-1:b"),
        on(other, "linux-2:a"),
        width=1,
    )
    assert run.interrupted
    reasons = [outcome.problem.reason for outcome in run.outcomes]
    assert reasons == ["the run was interrupted", *["the run was interrupted before"] * 2]
    assert [one.trial.verdict.value for one in run.outcomes[0].judged].count("pass") == 1
    assert "close" in machine.log
    assert "open" not in other.log


def test_an_interrupt_while_lanes_start_closes_those_that_have(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    closed: list[bool] = []
    submit = ThreadPoolExecutor.submit

    def interrupted(pool: ThreadPoolExecutor, *arguments: object) -> object:
        if machine not in arguments:
            raise KeyboardInterrupt
        return submit(pool, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ThreadPoolExecutor, "submit", interrupted)
    lanes = Lanes(2)
    with pytest.raises(KeyboardInterrupt):
        lanes.run([(machine, 1), (Machine(), 2)], lambda _: closed.append(machine.down.wait(5)))
    assert (closed, lanes.interrupted) == ([True], True)


def test_an_exception_in_a_lane_is_raised() -> None:
    def fail(_: int) -> None:
        raise ZeroDivisionError

    machine = Machine()
    with pytest.raises(ZeroDivisionError):
        Lanes(2).run([(machine, 1)], fail)
    assert machine.log == ["close"]


def test_cells_get_the_facts_of_the_booted_machine(go) -> None:
    """Facts are complete only after the machine is open."""
    machine = Machine()
    seen: list[str] = []

    def start(arguments: list[str]) -> ScriptedCell:
        seen.append(arguments[arguments.index("--environment") + 1])
        return ScriptedCell(GOOD)

    where = on(machine, "linux-1:a")
    where.script = start  # type: ignore[attr-defined]
    machine.open = lambda: where.facts.update(kernel="6.12.94")  # type: ignore[method-assign, attr-defined]
    go(where)
    assert '"kernel": "6.12.94"' in seen[0]
