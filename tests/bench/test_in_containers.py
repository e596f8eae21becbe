"""What a profile costs is measured in containers by the same worker; where there is none, the reason is kept."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from worldswitch.harness.bench import catalogue, in_containers, measure, session
from worldswitch.harness.bench import messages
from worldswitch.harness.bench.messages import Measured, NotMeasured
from worldswitch.harness.bench.results_file import Results, ResultsWriter
from worldswitch.harness.bench.session import Effort, Session
from worldswitch.harness.cell.probes import fingerprint
from worldswitch.harness.cli import bench
from worldswitch.harness.environments.host import Host
from worldswitch.harness.environments.protocol import Missing
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.expectations.outcome import Status


class FakeCell:
    """A container whose worker says these words."""

    log = "it said no"

    def __init__(self, said: Sequence[messages.Message], status: int = 0) -> None:
        self.lines, self.status = [messages.encode(word) for word in said], status

    def frames(self) -> Iterator[bytes]:
        return (line for text in self.lines for line in text.splitlines())

    def wait(self, deadline: float) -> int:
        return self.status

    def kill(self) -> None: ...


class Fake:
    """An environment with such containers."""

    name = "docker:fake"

    def __init__(self, cell: FakeCell | None) -> None:
        self.cell = cell
        self.commands: list[Sequence[str]] = []

    def run(self, command: Sequence[str]) -> FakeCell:
        self.commands.append(command)
        if self.cell is None:
            raise Unobtainable("no engine", "get one")
        return self.cell


ALL_SAID = [Measured(name, 1, (1.0,)) for name in in_containers.NAMES]


def nobody(arguments: Sequence[str]) -> list[messages.Message]:
    raise AssertionError("not at home")


def test_a_container_runs_the_worker() -> None:
    place = Fake(FakeCell(ALL_SAID))
    assert in_containers.measure_in(place, ["--sweeps", "1"], nobody) == ALL_SAID
    assert place.commands == [["python3", "-m", "worldswitch.harness.bench.worker", "--sweeps", "1"]]


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (Missing("docker:x", "no engine", "get one"), "no engine; get one"),
        (Fake(None), "no engine; get one"),
        (Fake(FakeCell([], 1)), "the worker ended (1): it said no"),
        (object(), "this environment runs nothing but scenarios"),
    ],
)
def test_what_cannot_be_measured_there_says_why(place: object, reason: str) -> None:
    assert in_containers.measure_in(place, [], nobody) == [NotMeasured(name, reason) for name in in_containers.NAMES]


def test_what_a_worker_said_before_it_ended_is_kept() -> None:
    said = in_containers.measure_in(Fake(FakeCell(ALL_SAID[:1], 9)), [], nobody)
    assert said[:1] == ALL_SAID[:1]
    assert [word.name for word in said[1:] if isinstance(word, NotMeasured)] == list(in_containers.NAMES[1:])


class StuckCell(FakeCell):
    """A container whose worker says something and then nothing until it is killed."""

    def __init__(self, said: Sequence[messages.Message]) -> None:
        super().__init__(said, 137)
        self.killed = threading.Event()

    def frames(self) -> Iterator[bytes]:
        yield from super().frames()
        assert self.killed.wait(10), "nobody killed it"

    def kill(self) -> None:
        self.killed.set()


def test_a_worker_that_is_stuck_is_killed_when_its_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_containers, "DEADLINE", 0.05)
    said = in_containers.measure_in(Fake(StuckCell(ALL_SAID[:1])), [], nobody)
    assert said == [
        ALL_SAID[0],
        *(NotMeasured(name, "the worker ended (137): it said no") for name in in_containers.NAMES[1:]),
    ]


def test_a_session_measures_the_host_and_every_place_once_a_round() -> None:
    writer = ResultsWriter("reference")
    place, missing = Fake(FakeCell(ALL_SAID)), Missing("docker:x", "no engine", "get one")
    effort = Effort(rounds=2, heavy=2, sweeps=1, min_time=0.0)
    Session([], "reference", effort, 1, lambda line: None, writer, [Host(), place, missing]).run()
    assert writer.absent.keys() == {f"docker:x/{name}" for name in in_containers.NAMES}
    assert len(place.commands) == 2
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
def test_only_what_was_asked_for_is_missed(
    profiles: tuple[str, ...], absent: dict[str, str], missed: list[str]
) -> None:
    wanted = measure.BenchRequest((), "reference", session.QUICK, 1, "auto", profiles)
    assert measure._missed(wanted, Results(Path(), fingerprint.take(None), {}, absent=absent)) == missed


def test_time_that_is_up_ends_a_run_and_is_told() -> None:
    writer = ResultsWriter("reference")
    effort = Effort(rounds=5, heavy=0, sweeps=1, min_time=0.0, seconds=0.0)
    Session([], "reference", effort, 1, lambda line: None, writer).run()
    assert writer.warnings[-1] == "1 of 5 rounds were made within 0 s"


def test_real_time_priority_is_asked_for_unless_a_process_is_had_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    effort = Effort(rounds=1, heavy=1, sweeps=1, min_time=0.0, realtime=True)
    chosen = catalogue.select(("calls::unmap", "interrupts::busy"))
    session = Session(chosen, "reference", effort, 1, lambda line: None, ResultsWriter("reference"))
    monkeypatch.setattr(session, "_run_worker", lambda arguments: asked.append(list(arguments)) or [])
    session.run()
    assert {words[-1]: "--realtime" in words for words in asked} == {"calls::unmap": True, "interrupts::busy": False}
    assert any("real-time priority" in warning for warning in session.writer.warnings)


def test_profiles_and_the_host_alone_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    from worldswitch.harness.cli import main

    assert main.main(["bench", "--engine", "host", "--profile", "hardened"]) == Status.COULD_NOT_RUN
    assert main.main(["bench", "--profile", "nobody"]) == Status.COULD_NOT_RUN
    assert "no such profile" in capsys.readouterr().err


def test_packages_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "PACKAGES", ("sys", "no_such_package"))
    assert "sys" in sys.modules
    with pytest.raises(bench.CouldNotRun, match="benchmarks need no_such_package, which is not installed"):
        bench._check_packages()
