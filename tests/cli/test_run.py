"""`worldswitch run` as in pytest: -x, --maxfail, --lf, -q, -v; and what it tells GitHub."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from scripted import NAMES, SCENARIOS, Scripted, ScriptedCell, frames, header, place, planner, trial, whole

from worldswitch.harness.catalogue import scenarios as catalogue
from worldswitch.harness.cell.trial import Result
from worldswitch.harness.cli import main
from worldswitch.harness.environments import plan
from worldswitch.harness.environments.protocol import Environment, Missing
from worldswitch.harness.results import reader
from worldswitch.harness.results.errors import Damaged
from worldswitch.harness.results.reader import KeptRun
from worldswitch.harness.run import request
from worldswitch.harness.verdict import Verdict

Command = Callable[..., int]

GOOD = frames(whole(*map(trial, NAMES)))
FAILED = [
    trial(NAMES[0], Verdict.FAIL, reason="1 == 2"),
    trial(NAMES[1]),
    trial(NAMES[2], Verdict.CRASH, reason="died"),
]
BAD = frames(whole(*FAILED))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Run `worldswitch run` in scripted environments."""
    monkeypatch.setattr(catalogue, "scenarios", lambda: list(SCENARIOS))
    monkeypatch.setattr(request, "rehearse_platform", lambda _: Result(verdict=Verdict.PASS))
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)

    def command(*places: Environment | Missing, arguments: Sequence[str] = ()) -> int:
        monkeypatch.setattr(plan, "plan", planner(*places))
        return main.main(["run", "--results", str(tmp_path), *arguments])

    return command


def last(folder: Path) -> KeptRun:
    return reader.read(reader.find("last", folder))


def verdicts(folder: Path) -> dict[str, list[str]]:
    return {
        str(cell.name): [one.trial.verdict.value for one in sorted(cell.judged, key=lambda one: one.trial.scenario)]
        for cell in last(folder).cells
    }


# ------------------------------------------------------------------------------------------------------- -x, --maxfail


def test_x_stops_at_the_first_unexpected_verdict(
    run: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    after = place("docker:a", GOOD)
    first = place("host", BAD)
    assert run(first, after, arguments=["-x"]) == 1
    assert verdicts(tmp_path) == {"host": ["miss", "fail", "miss"], "docker:a": ["miss"] * 3}
    assert (first.cells[0].killed, after.cells) == (True, [])
    printed = capsys.readouterr().out
    assert "host: the run stopped after 1 unexpected verdict, as -x asks\n  2 of 3 trials never ran\n" in printed
    assert "docker:a: not started: the run stopped after 1 unexpected verdict" in printed
    assert "reference misbehaves on the host: 1 of 3 trials failed; undecided under a: not started" in printed


def test_x_changes_nothing_if_all_is_as_expected(run: Command, tmp_path: Path) -> None:
    assert run(place("host", GOOD), arguments=["-x"]) == 0
    assert verdicts(tmp_path) == {"host": ["pass"] * 3}


def test_maxfail_counts_over_all_cells(run: Command, tmp_path: Path) -> None:
    assert run(place("host", BAD), place("docker:a", BAD), arguments=["--maxfail", "3"]) == 1
    assert verdicts(tmp_path) == {"host": ["pass", "fail", "crash"], "docker:a": ["miss", "fail", "miss"]}


@pytest.mark.parametrize("arguments", [["-x", "--maxfail", "2"], ["--maxfail", "0"], ["-q", "-v"]])
def test_contradictory_options_are_refused(run: Command, arguments: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as refused:
        run(place("host", GOOD), arguments=arguments)
    assert refused.value.code == 2
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------------------------------------------------- --lf


def again(name: str, started: list[Sequence[str]], verdict: Verdict = Verdict.PASS) -> Scripted:
    """An environment that records its cells' arguments, and answers the scenarios that they ask for."""

    def start(arguments: Sequence[str]) -> ScriptedCell:
        started.append(arguments)
        asked = [word for before, word in itertools.pairwise(arguments) if before == "--id"]
        return ScriptedCell(frames(whole(*(trial(one, verdict) for one in asked))))

    return Scripted(name, start)


def test_lf_repeats_the_unexpected_trials_each_in_its_cell(
    run: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = frames(whole(trial(NAMES[0]), trial(NAMES[1], Verdict.TIMEOUT), trial(NAMES[2])))
    assert run(place("host", BAD), place("docker:a", GOOD), place("docker:b", other), arguments=["--seed", "11"]) == 1
    started: list[Sequence[str]] = []
    capsys.readouterr()
    assert run(*(again(name, started) for name in ("host", "docker:a", "docker:b")), arguments=["--lf"]) == 0
    assert verdicts(tmp_path) == {"host": ["pass", "pass"], "docker:b": ["pass"]}
    assert [[word for word in words if "::" in word] for words in started] == [[NAMES[0], NAMES[2]], [NAMES[1]]]
    assert all(words[words.index("--seed") + 1] == "11" for words in started)
    printed = capsys.readouterr().out
    assert printed.startswith("repeating 3 unexpected trials of ")
    assert printed.splitlines()[-1] == "3 passed, 0 failed, 0 skipped"


def test_lf_again_repeats_what_still_fails(run: Command, tmp_path: Path) -> None:
    assert run(place("host", BAD)) == 1
    started: list[Sequence[str]] = []
    for _ in range(2):
        assert run(again("host", started, Verdict.FAIL), arguments=["--lf"]) == 1
    assert verdicts(tmp_path) == {"host": ["fail", "fail"]}
    assert run(again("host", started), arguments=["--lf"]) == 0
    assert run(again("host", started), arguments=["--lf"]) == 0
    assert len(started) == 3


def test_lf_does_not_repeat_what_never_ran(run: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(place("host", BAD), arguments=["-x"]) == 1
    started: list[Sequence[str]] = []
    assert run(again("host", started), arguments=["--lf"]) == 0
    assert verdicts(tmp_path) == {"host": ["pass"]}
    assert "; 2 of its trials never ran, and are not repeated\n" in capsys.readouterr().out


def test_lf_says_that_there_is_nothing_to_repeat(
    run: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(place("host", GOOD)) == 0
    capsys.readouterr()
    assert run(place("host", GOOD), arguments=["--lf"]) == 0
    assert capsys.readouterr().out.startswith("nothing to repeat: no verdict of the last run, ")
    assert run(place("host", GOOD), Missing("docker:a", "no such thing", "make one")) == 2
    capsys.readouterr()
    assert run(place("host", GOOD), arguments=["--lf"]) == 2
    assert "was unexpected; 3 of its trials never ran" in capsys.readouterr().out
    assert len(list(tmp_path.iterdir())) == 2


def test_lf_without_a_run_is_refused(run: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(place("host", GOOD), arguments=["--lf"]) == 2
    assert f"{tmp_path}: no runs there" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--id", "SG01"], "--id"),
        (["--seed", "3", "-k", "x"], "-k, --seed"),
        (["--engine", "host", "--no-chaos"], "--no-chaos, --engine"),
        (["--profile", "hardened", "--kernel", "6.12"], "--profile, --kernel"),
        (["--platform", "seed", "--deadline", "3", "--repeat", "soak"], "--platform, --repeat, --deadline"),
        (["--shard", "1/2", "--dask", "tcp://x:1"], "--shard, --dask"),
    ],
)
def test_lf_refuses_options_that_the_last_run_decides(
    run: Command, arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(place("host", BAD))
    capsys.readouterr()
    assert run(place("host", GOOD), arguments=["--lf", *arguments]) == 2
    assert f"--lf repeats trials as they were in the last run; drop {named}\n" in capsys.readouterr().err


def test_lf_names_an_environment_that_is_gone(run: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(place("host", GOOD), place("docker:hardened", BAD)) == 1
    assert run(place("host", GOOD), arguments=["--lf"]) == 2
    assert "the environment of docker:hardened is not there now" in capsys.readouterr().out
    newest = reader.read(max(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime))
    assert [(str(cell.name), len(cell.judged)) for cell in newest.cells] == [("docker:hardened", 2)]


# -------------------------------------------------------------------------------------------------------------- -q, -v


def test_q_prints_the_counts_only(run: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(place("host", BAD), place("docker:a", GOOD), arguments=["-q"]) == 1
    assert capsys.readouterr().out == "4 passed, 2 failed, 0 skipped\n"


def test_v_prints_each_trial(run: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(place("host", BAD), arguments=["-v"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("PASS")] == [f"PASS SG01 {NAMES[1]} in host"]
    assert f"CRASH TT01 {NAMES[2]} in host: died" in lines


# -------------------------------------------------------------------------------------------------------------- GitHub


def test_github_gets_an_annotation_for_each_cause_and_a_summary(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert run(place("host", BAD), place("docker:a", GOOD), Missing("docker:b", "no engine", "get one")) == 1
    commands = [line for line in capsys.readouterr().out.splitlines() if line.startswith("::")]
    assert commands == [
        f"::error title=FAIL 1 trial%3A 1 == 2::in host%0ASG01 {NAMES[0]}",
        f"::error title=CRASH 1 trial%3A died::in host%0ATT01 {NAMES[2]}",
        "::error title=could not run%3A no engine::docker:b: no engine%0Aget one",
    ]
    text = summary.read_text()
    assert text.startswith("before\n# reference runs under a (3 trials); misbehaves on the host: 2 of 3 trials failed;")
    assert "| kernel | no container | a | b |" in text


def test_elsewhere_there_are_no_annotations(run: Command, capsys: pytest.CaptureFixture[str]) -> None:
    run(place("host", BAD))
    assert "::error" not in capsys.readouterr().out


def test_a_summary_that_cannot_be_written_does_not_change_the_status(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "no" / "summary.md"))
    assert run(place("host", frames([header(), *map(trial, NAMES), whole(*map(trial, NAMES))[-1]]))) == 0
    message = capsys.readouterr().err
    assert message.startswith("the summary of the step cannot be written: [Errno 2] No such file or directory: ")


def test_a_folder_that_was_not_kept_does_not_hide_the_status(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def damaged(folder: Path) -> KeptRun:
        raise Damaged("run.json: not a run's manifest")

    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    monkeypatch.setattr(reader, "read", damaged)
    assert run(place("host", BAD), arguments=["-q"]) == 1
    assert "cannot be written: run.json: not a run's manifest" in capsys.readouterr().err
