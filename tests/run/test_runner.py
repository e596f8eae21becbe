"""Runs of cells that end properly, and of cells that do not."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from junitparser import JUnitXml
from scripted import NAMES, SCENARIOS, Line, Quiet, Scripted, footer, frames, hang, header, place, run_in, trial, whole

from worldswitch.harness.cell import records
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.environments.protocol import Environment, Missing
from worldswitch.harness.expectations import conditions
from worldswitch.harness.expectations.judgement import Expectation
from worldswitch.harness.expectations.outcome import Status, status
from worldswitch.harness.report import run_files
from worldswitch.harness.results.cell_file import read_reached
from worldswitch.harness.run import request, runner
from worldswitch.harness.run.request import Request
from worldswitch.harness.run.runner import Run
from worldswitch.harness.verdict import Verdict

PASSES = tuple(trial(name) for name in NAMES)
GOOD = frames(whole(*PASSES))
LOG = records.KernelLog(lines=("x",))


@pytest.fixture
def go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> object:
    """Run in these environments."""

    def run(*places: Environment | Missing) -> Run:
        made = run_in(monkeypatch, tmp_path, *places)
        run_files.write(made.outcomes, made.folder, made.stale)
        return made

    return run


def verdicts(run: Run, cell: int = 0) -> list[str]:
    found = {one.trial.scenario: one.trial.verdict.value for one in run.outcomes[cell].judged}
    return [found[name] for name in NAMES]


def test_a_good_cell_is_written_as_received(go, tmp_path: Path) -> None:
    run = go(place("docker:hardened", GOOD))
    assert verdicts(run) == ["pass", "pass", "pass"]
    assert status(run.outcomes) is Status.AS_EXPECTED
    assert read_reached(tmp_path / "docker-hardened.jsonl").trials == PASSES


def test_the_begin_of_a_trial_is_shown_but_not_written(go, tmp_path: Path) -> None:
    run = go(place("host", [*frames([records.Began(NAMES[0])]), *GOOD]))
    assert run.watcher.began == [NAMES[0]]
    assert b"began" not in (tmp_path / "host.jsonl").read_bytes()


def test_noise_between_frames_is_ignored(go) -> None:
    noise: list[Line] = [b"Segmentation fault\n", b"\xff\xfe\n", b"@ws deadbeef {}\n", b'{"kind":"trial"}\n']
    run = go(place("host", [line for pair in zip(noise * 4, GOOD, strict=False) for line in pair]))
    assert verdicts(run) == ["pass", "pass", "pass"]
    assert run.outcomes[0].problem is None


#: The output of a cell, its exit status, its log, and a part of the problem.
BROKEN: dict[str, tuple[list[Line], int, str, str]] = {
    "it sends nothing": ([], 2, "no python3 here", "status 2"),
    "it dies after one trial": (frames([header(), PASSES[0]]), 137, "Killed", "status 137"),
    "it loses its footer": (frames([header(), *PASSES]), 0, "", "status 0"),
    "its footer has other counts": (frames([header(), *PASSES, footer(PASSES[:1])]), 0, "", "are invalid"),
    "it has a verdict that was not planned": (frames([header(), trial("signals::other")]), 0, "", "are invalid"),
    "it has two verdicts on one scenario": (frames([header(), PASSES[0], PASSES[0]]), 0, "", "are invalid"),
    "it has a verdict before its header": (frames([PASSES[0], header()]), 0, "", "are invalid"),
    "it has two headers": (frames([header(), header()]), 0, "", "are invalid"),
    "it has two kernel logs": (frames([header(), LOG, LOG]), 0, "", "are invalid"),
    "it is of another format": (frames([msgspec.structs.replace(header(), format=9)]), 0, "", "format 9"),
    "it goes on after its footer": ([*GOOD, *frames([PASSES[0]])], 0, "", "are invalid"),
    "it refuses after the last trial": (GOOD, 2, "cell: could not run: no core\n", "no core"),
}


@pytest.mark.parametrize(("lines", "code", "log", "word"), BROKEN.values(), ids=BROKEN)
def test_a_broken_cell_is_never_green(go, lines: list[Line], code: int, log: str, word: str) -> None:
    scripted = place("host", lines, status=code, log=log)
    run = go(scripted)
    problem = run.outcomes[0].problem
    assert problem is not None
    assert word in problem.reason
    assert status(run.outcomes) is Status.COULD_NOT_RUN
    assert scripted.cells[0].killed


def test_results_so_far_are_written_and_the_rest_is_a_miss(go, tmp_path: Path) -> None:
    run = go(place("host", frames([header(), PASSES[1]]), status=137, log="Killed"))
    assert verdicts(run) == ["miss", "pass", "miss"]
    miss = run.outcomes[0].judged[1].trial
    assert (miss.ids, miss.claim) == (SCENARIOS[0].ids, SCENARIOS[0].claim)
    reached = read_reached(tmp_path / "host.jsonl")
    assert (len(reached.trials), reached.footer) == (1, None)


def test_a_silent_cell_is_killed(go, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "PATIENCE", -0.8)
    scripted = place("host", [*frames([header(), PASSES[0]]), hang])
    run = go(scripted)
    assert "sent nothing for 0.2 s" in run.outcomes[0].problem.reason
    assert scripted.cells[0].killed
    assert verdicts(run) == ["pass", "miss", "miss"]


def test_a_cell_that_cannot_start_affects_no_other(go) -> None:
    def refuse(_: object) -> None:
        raise OSError("no space left")

    run = go(Scripted("docker:a", refuse), place("docker:b", GOOD))
    assert verdicts(run, 0) == ["miss"] * 3
    assert "no space left" in run.outcomes[0].problem.reason
    assert verdicts(run, 1) == ["pass"] * 3


@pytest.mark.parametrize("when", ["start", "read"])
def test_an_unforeseen_exception_costs_its_cell_only(go, when: str) -> None:
    def fail(*_: object) -> None:
        raise TypeError("a bug")

    lines = [*frames([header(), PASSES[0]]), fail]
    run = go(Scripted("docker:a", fail) if when == "start" else place("docker:a", lines), place("docker:b", GOOD))
    problem = run.outcomes[0].problem
    assert problem.reason == "internal error: TypeError: a bug; report this line and the traceback below it"
    assert "in fail" in problem.log
    assert verdicts(run, 0) == ["miss" if when == "start" else "pass", "miss", "miss"]
    assert verdicts(run, 1) == ["pass"] * 3
    assert status(run.outcomes) is Status.COULD_NOT_RUN


def test_a_limit_that_ends_a_cell_is_no_bug(go) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    run = go(Scripted("docker:a", fail), place("docker:b", GOOD))
    assert "there is no more memory" in run.outcomes[0].problem.reason
    assert verdicts(run, 1) == ["pass"] * 3


def test_a_defect_in_the_cell_is_told_with_its_traceback(go) -> None:
    log = "cell: could not run: internal error: KeyError: 'x'; report this line\nTraceback\n  in main\n"
    problem = go(place("host", [], status=os.EX_SOFTWARE, log=log)).outcomes[0].problem
    assert problem.reason == "internal error: KeyError: 'x'; report this line"
    assert problem.log == "Traceback\n  in main"


def test_the_trials_of_a_missing_environment_are_misses(go) -> None:
    run = go(place("host", GOOD), Missing("docker:a", "no engine", "install one"))
    assert verdicts(run, 1) == ["miss"] * 3
    assert run.outcomes[1].problem.remedy == "install one"
    assert status(run.outcomes) is Status.COULD_NOT_RUN


def test_an_interrupted_run_writes_its_results_so_far(go, tmp_path: Path) -> None:
    file = tmp_path / "host.jsonl"

    def interrupt() -> bytes:
        while not (file.exists() and file.read_bytes().count(b"\n") == 2):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        return hang()

    first = place("host", [*frames([header(), PASSES[0]]), interrupt])
    second = place("docker:a", GOOD)
    run = go(first, second)
    assert run.interrupted
    assert (verdicts(run, 0), verdicts(run, 1)) == (["pass", "miss", "miss"], ["miss"] * 3)
    assert first.cells[0].killed
    assert not second.cells
    assert (tmp_path / "junit.xml").exists()


@pytest.mark.parametrize(
    "verdict", [Verdict.FAIL, Verdict.TIMEOUT, Verdict.CRASH, Verdict.UNSUPPORTED, Verdict.BLOCKED]
)
def test_a_verdict_is_judged_by_the_rules_of_its_environment(go, verdict: Verdict) -> None:
    lines = frames(whole(trial(NAMES[0], verdict)))
    allowed = Expectation(("SG01",), frozenset({verdict}), "so it is here")
    assert status(go(place("docker:a", lines)).outcomes) is Status.UNEXPECTED
    assert status(go(place("docker:b", lines, allowed)).outcomes) is Status.AS_EXPECTED


def test_an_unmet_need_of_the_machine_is_excused_in_every_cell(go) -> None:
    """Tests may trace: `ptrace_denied` is "no" on this machine as in the cell."""
    lacking = trial(NAMES[2], Verdict.UNSUPPORTED)
    run = go(place("docker:a", frames([header([NAMES[2]], None, ptrace_denied="no"), lacking, footer([lacking])])))
    (judged,) = run.outcomes[0].judged
    assert judged.judgement.expected
    assert "this machine" in judged.judgement.reason


def test_an_optional_part_is_excused_for_other_platforms(go, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = frames(whole(trial(NAMES[0], Verdict.UNSUPPORTED)))
    assert status(go(place("host", lines)).outcomes) is Status.UNEXPECTED
    monkeypatch.setattr(runner, "Request", Request)
    made = Run(Request(platforms=("a:Platform",)), SCENARIOS, go(place("host", lines)).folder / "x", Quiet())
    made.folder.mkdir()
    made.go()
    assert status(made.outcomes) is Status.AS_EXPECTED


def test_the_junit_file_has_the_same_verdicts(go, tmp_path: Path) -> None:
    trials = (
        trial(NAMES[0]),
        trial(NAMES[1], Verdict.FAIL, reason="assert 1 == 2"),
        trial(NAMES[2], Verdict.UNSUPPORTED),
    )
    lines = frames([header(NAMES, None, ptrace_denied="no"), *trials, footer(trials)])
    go(place("host", lines), Missing("docker:a", "no engine", "install one"))
    host, docker = JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    assert (host.tests, host.failures, host.skipped, host.errors) == (3, 1, 1, 0)
    assert (docker.tests, docker.errors) == (3, 3)
    failed = next(case for case in host if case.result and case.is_failure)
    assert failed.classname == "host.signals"
    assert "assert 1 == 2" in failed.result[0].text


def test_the_arguments_of_a_cell_follow_the_request() -> None:
    request = Request(ids=("SG01", "TT*"), keyword="one and two", deadline=2.5, workers=3, seed=0)
    arguments = request.arguments(CellName("docker:a", "a:B"), {"engine": "x"})
    pairs = list(zip(arguments[::2], arguments[1::2], strict=True))
    assert ("--platform", "a:B") in pairs
    assert ("--repeat", "quick") in pairs
    assert ("-k", "one and two") in pairs
    assert ("--deadline", "2.5") in pairs
    assert ("--seed", "0") in pairs
    assert "--no-chaos" not in arguments
    assert "--no-chaos" in replace(request, chaos=False).arguments(CellName("docker:a"), {})
    assert [value for option, value in pairs if option == "--id"] == ["SG01", "TT*"]
    assert "normal" in request.arguments(CellName("host"), {})


def test_a_run_of_few_scenarios_observes_the_facts_that_rules_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rule = Expectation(("SG01",), frozenset({Verdict.FAIL}), "so", when=conditions.parse({"fact": {"KD3": "it stays"}}))
    asked: list[list[str]] = []
    for all_facts in (True, False):
        where = place("docker:a", frames(whole(*map(trial, NAMES))))
        monkeypatch.setattr(Run, "_rules", lambda *_: (rule,))
        script = where.script
        where.script = lambda arguments, script=script: asked.append(list(arguments)) or script(arguments)  # type: ignore[func-returns-value]
        (tmp_path / str(all_facts)).mkdir()
        run_in(monkeypatch, tmp_path / str(all_facts), where, all_facts=all_facts)
    assert "--facts" not in asked[0]
    assert asked[1][asked[1].index("--facts") + 1] == "KD3"


def test_the_facts_of_rules_about_other_scenarios_are_not_observed(go, tmp_path: Path) -> None:
    rules = [
        Expectation((about,), frozenset({Verdict.PASS}), "so", when=conditions.parse({"fact": {fact: "it stays"}}))
        for about, fact in (("SG01", "KD3"), ("TT01", "KD4"))
    ]
    asked: list[list[str]] = []
    where = place("docker:a", GOOD)
    script = where.script
    where.script = lambda arguments: asked.append(list(arguments)) or script(arguments)  # type: ignore[func-returns-value]
    go(where)
    made = Run(Request(all_facts=False), SCENARIOS[:2], tmp_path, Quiet())
    made._rules = lambda *_: tuple(rules)  # type: ignore[method-assign, assignment]
    made.go()
    assert asked[-1][asked[-1].index("--facts") + 1] == "KD3"


def test_each_platform_has_its_own_cell(go, tmp_path: Path) -> None:
    """Each cell has its own file."""
    made = Run(Request(platforms=("reference", "a:B")), SCENARIOS, tmp_path, Quiet())
    go(place("host", GOOD))
    made.go()
    assert [str(outcome.cell) for outcome in made.outcomes] == ["host", "host/a:B"]
    assert {path.name for path in tmp_path.glob("*.jsonl")} >= {"host.jsonl", "host-a-B.jsonl"}
    assert made.outcomes[1].cell.options == "--engine host --platform a:B"
