"""An engine that hangs or lies: its cells are misses with the reason, and those of the host keep their results."""

from __future__ import annotations

import os
import time
from pathlib import Path

import lying_engine
import pytest
from lying_engine import LIES, Lie, stream
from scripted import NAMES, SCENARIOS, Quiet, frames, place, trial, whole

from worldswitch.harness.environments import plan, run_resources
from worldswitch.harness.environments.docker import bounded, container, engine
from worldswitch.harness.expectations.outcome import Status, status
from worldswitch.harness.linux import processes
from worldswitch.harness.run.request import Request
from worldswitch.harness.run.runner import Run

GOOD = frames(whole(*map(trial, NAMES)))
PROFILES = 2  #: the cells of the engine
SECONDS = 40.0  #: the outer deadline of a run with any of these engines

pytestmark = [
    pytest.mark.usefixtures("cache"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # of the SDK, of connections that the engine closed
]


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds of a second, and a host whose cell passes."""
    for module, name in ((engine, "PING_SECONDS"), (bounded, "CALL_SECONDS"), (container, "EXIT_SECONDS")):
        monkeypatch.setattr(module, name, 1)
    monkeypatch.setattr(container, "API_SECONDS", 1)
    monkeypatch.setattr(bounded, "REMOVE_SECONDS", 1.0)
    monkeypatch.setattr(bounded, "LONG_SECONDS", 2.0)
    monkeypatch.setattr(bounded, "LARGEST", 1 << 22)
    monkeypatch.setattr(Request, "silence", lambda *_: 3.0)
    monkeypatch.setattr(plan, "Host", lambda: place("host", GOOD))
    monkeypatch.setattr("worldswitch.harness.expectations.excuses.host_abilities", lambda _: {})


def run_with(
    folder: Path, request: str, lie: Lie, monkeypatch: pytest.MonkeyPatch, *profiles: str
) -> tuple[Run, list[str]]:
    """Run in containers of the engine that lies, and on the host if no profiles are named.

    Returns the run and the requests.
    """
    results = folder / "results"
    results.mkdir()
    with lying_engine.serving(folder, request, lie) as (url, served):
        monkeypatch.setenv("DOCKER_HOST", url)
        made = Run(Request(engine="auto", profiles=profiles), SCENARIOS, results, Quiet())
        made.go()
        return made, served.asked


def check(run: Run, begin: float) -> list[str]:
    """Check that only the engine's cells are misses, in time, and that nothing is left; returns their reasons."""
    assert time.monotonic() - begin < SECONDS
    host, *others = run.outcomes
    assert [one.trial.verdict.value for one in host.judged] == ["pass"] * len(NAMES)
    assert len(others) >= PROFILES
    for outcome in others:
        assert {one.trial.verdict.value for one in outcome.judged} == {"miss"}
    assert status(run.outcomes) is Status.COULD_NOT_RUN
    assert not list(run_resources._runs())
    return [outcome.problem.reason for outcome in others if outcome.problem]


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("request_", ["version", "info", "list", "image", "create", "inspect"])
def test_an_answer_that_is_no_answer(request_: str, lie: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = time.monotonic()
    run, asked = run_with(tmp_path, request_, LIES[lie], monkeypatch)
    assert request_ in asked
    reasons = check(run, begin)
    assert all("engine" in reason or "the cell ended with status 0" in reason for reason in reasons), reasons
    assert all(len(reason) < 1000 for reason in reasons)


@pytest.mark.parametrize("lie", ["hangs", "closes", "trickles", "floods", "redirects", "html", "500", "404", "no http"])
@pytest.mark.parametrize("request_", ["attach", "start", "wait", "remove"])
def test_a_container_that_does_not_run(
    request_: str, lie: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = time.monotonic()
    run, asked = run_with(tmp_path, request_, LIES[lie], monkeypatch)
    assert request_ in asked
    check(run, begin)


SENT = b"".join(line for line in GOOD if isinstance(line, bytes))

#: What the stream of a container's output does, and a part of the reason that is given.
STREAMS = {
    "all the results, in a frame of 4 GB": (stream((1, 0xFFFFFFFF, SENT)), None),
    "no results, and status 0": (stream(), "ended with status 0 before its results were complete"),
    "half a frame": (stream((1, 100, b"half")), "before its results were complete"),
    "an unknown stream": (stream((7, 4, b"seven")), "before its results were complete"),
    "an endless line": (stream((1, 65536, b"x" * 65536), again=True), "a line has more than 16777216 bytes"),
    "endless noise": (stream((1, 60000, b"noise\n" * 10000), again=True), "the cell sent nothing for 3 s"),
    "an endless log": (stream((2, 65536, b"x" * 65536), again=True), "the cell sent nothing for 3 s"),
    "half of the results": (stream((1, len(SENT) // 2, SENT[: len(SENT) // 2])), "before its results were complete"),
}


@pytest.mark.parametrize("what", STREAMS)
def test_a_stream_of_output_that_lies(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lie, reason = STREAMS[what]
    begin = time.monotonic()
    run, _ = run_with(tmp_path, "attach", lie, monkeypatch, "hardened")
    (outcome,) = run.outcomes
    assert time.monotonic() - begin < SECONDS
    if reason is None:  # a frame that claims too much has everything that the cell sent
        assert [one.trial.verdict.value for one in outcome.judged] == ["pass"] * len(NAMES)
    else:
        assert outcome.problem
        assert reason in outcome.problem.reason


def test_a_process_that_the_engine_names_is_not_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine says that this test's own process is the container's, and hangs at each removal."""
    mine = b'{"Id": "%s", "State": {"Pid": %d}, "Config": {"Tty": false}}' % (lying_engine.ID.encode(), os.getpid())
    killed: list[int] = []
    monkeypatch.setattr(processes, "kill_if", lambda pid, test: killed.append(pid) if test(pid) else None)
    run_with(tmp_path, "inspect", lying_engine.says(mine), monkeypatch, "hardened")
    assert not killed
