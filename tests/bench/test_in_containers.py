"""Containers run the same worker as the host; a missing environment is absent with the reason."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from worldswitch.harness.bench import catalogue, in_containers, measure, messages, session
from worldswitch.harness.bench.messages import Measured, NotMeasured
from worldswitch.harness.bench.results_file import Results, ResultsWriter
from worldswitch.harness.bench.session import Effort, Session
from worldswitch.harness.cell.probes import fingerprint
from worldswitch.harness.cli import bench
from worldswitch.harness.environments import installation
from worldswitch.harness.environments.host import Host
from worldswitch.harness.environments.protocol import Environment, Missing
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.expectations.outcome import Status


class FakeCell:
    """A container whose worker prints these messages."""

    log = "it said no"

    def __init__(self, printed: Sequence[messages.Message], status: int = 0) -> None:
        self.lines, self.status = [messages.encode(message) for message in printed], status

    def frames(self) -> Iterator[bytes]:
        return (line for text in self.lines for line in text.splitlines())

    def wait(self, deadline: float) -> int:
        return self.status

    def kill(self) -> None: ...


class ScenariosOnly:
    """An environment that cannot run commands."""

    name = "docker:fake"
    facts: Mapping[str, str] = {}
    profile = lane = None

    def start(self, arguments: Sequence[str]) -> FakeCell:
        raise AssertionError("a benchmark runs no scenarios")


class Fake(ScenariosOnly):
    """An environment with fake containers."""

    def __init__(self, cell: FakeCell | None) -> None:
        self.cell = cell
        self.commands: list[Sequence[str]] = []

    def run(self, command: Sequence[str]) -> FakeCell:
        self.commands.append(command)
        if self.cell is None:
            raise Unobtainable("no engine", "get one")
        return self.cell


ALL_MEASURED = [Measured(name, 1, (1.0,)) for name in in_containers.NAMES]


def not_on_host(arguments: Sequence[str]) -> list[messages.Message]:
    raise AssertionError("the host must not be measured")


def test_a_container_runs_the_worker() -> None:
    environment = Fake(FakeCell(ALL_MEASURED))
    assert in_containers.measure_in(environment, ["--sweeps", "1"], not_on_host) == ALL_MEASURED
    assert environment.commands == [["python3", "-m", "worldswitch.harness.bench.worker", "--sweeps", "1"]]


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        (Missing("docker:x", "no engine", "get one"), "no engine; get one"),
        (Fake(None), "no engine; get one"),
        (Fake(FakeCell([], 1)), "the worker ended (1): it said no"),
        (ScenariosOnly(), "this environment can run only scenarios"),
    ],
)
def test_an_environment_that_cannot_measure_gives_the_reason(environment: Environment | Missing, reason: str) -> None:
    absent = [NotMeasured(name, reason) for name in in_containers.NAMES]
    assert in_containers.measure_in(environment, [], not_on_host) == absent


def test_messages_before_a_worker_s_end_count() -> None:
    found = in_containers.measure_in(Fake(FakeCell(ALL_MEASURED[:1], 9)), [], not_on_host)
    assert found[:1] == ALL_MEASURED[:1]
    absent = [message.name for message in found[1:] if isinstance(message, NotMeasured)]
    assert absent == list(in_containers.NAMES[1:])


class StuckCell(FakeCell):
    """A container whose worker prints messages and then hangs until it is killed."""

    def __init__(self, printed: Sequence[messages.Message]) -> None:
        super().__init__(printed, 137)
        self.killed = threading.Event()

    def frames(self) -> Iterator[bytes]:
        yield from super().frames()
        assert self.killed.wait(10), "kill() was not called"

    def kill(self) -> None:
        self.killed.set()


def test_a_stuck_worker_is_killed_at_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_containers, "DEADLINE", 0.05)
    found = in_containers.measure_in(Fake(StuckCell(ALL_MEASURED[:1])), [], not_on_host)
    assert found == [
        ALL_MEASURED[0],
        *(NotMeasured(name, "the worker ended (137): it said no") for name in in_containers.NAMES[1:]),
    ]


def test_a_session_measures_every_environment_once_per_round() -> None:
    writer = ResultsWriter("reference")
    environment, missing = Fake(FakeCell(ALL_MEASURED)), Missing("docker:x", "no engine", "get one")
    effort = Effort(rounds=2, heavy=2, sweeps=1, min_time=0.0)
    Session([], "reference", effort, random.Random(1), lambda line: None, writer, [Host(), environment, missing]).run()
    assert writer.absent.keys() == {f"docker:x/{name}" for name in in_containers.NAMES}
    assert len(environment.commands) == 2
    measured = {name: len(runs) for name, runs in writer._runs.items()}
    names = [f"{where}/{name}" for where in ("host", "docker:fake") for name in in_containers.NAMES]
    assert measured == dict.fromkeys(names, 2)


@pytest.mark.parametrize(
    ("profiles", "absent", "missed"),
    [
        ((), {"docker:no-ptrace/switch::fault": "forbidden"}, []),
        (("no-ptrace",), {"docker:no-ptrace/switch::fault": "forbidden"}, ["docker:no-ptrace/switch::fault"]),
        ((), {"switch::fault": "no platform"}, ["switch::fault"]),
    ],
)
def test_only_requested_environments_and_the_host_are_missed(
    profiles: tuple[str, ...], absent: dict[str, str], missed: list[str]
) -> None:
    request = measure.BenchRequest((), "reference", session.QUICK, 1, "auto", profiles)
    assert measure._missed(request, Results(Path(), fingerprint.take(None), {}, absent=absent)) == missed


def test_a_run_ends_at_its_time_limit_with_a_warning() -> None:
    writer = ResultsWriter("reference")
    effort = Effort(rounds=5, heavy=0, sweeps=1, min_time=0.0, seconds=0.0)
    Session([], "reference", effort, random.Random(1), lambda line: None, writer).run()
    assert writer.warnings[-1] == "only 1 of 5 rounds fit into 0 s"


def test_benchmarks_with_a_process_of_their_own_get_no_real_time_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    effort = Effort(rounds=1, heavy=1, sweeps=1, min_time=0.0, realtime=True)
    chosen = catalogue.select(("calls::unmap", "interrupts::busy"))
    session = Session(chosen, "reference", effort, random.Random(1), lambda line: None, ResultsWriter("reference"))
    monkeypatch.setattr(session, "_run_worker", lambda arguments: commands.append(list(arguments)) or [])
    session.run()
    realtime = {command[-1]: "--realtime" in command for command in commands}
    assert realtime == {"calls::unmap": True, "interrupts::busy": False}
    assert any("real-time priority" in warning for warning in session.writer.warnings)


def test_profiles_and_engine_host_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    from worldswitch.harness.cli import main

    assert main.main(["bench", "--engine", "host", "--profile", "hardened"]) == Status.COULD_NOT_RUN
    assert main.main(["bench", "--profile", "nobody"]) == Status.COULD_NOT_RUN
    assert "no such profile" in capsys.readouterr().err


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "missing", lambda extra: ["no_such_package>=1"])
    with pytest.raises(bench.CouldNotRun, match=r"packages that are not installed; .*no_such_package>=1"):
        bench._check_packages()
