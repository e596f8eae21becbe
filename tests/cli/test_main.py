"""The command line: its error messages, its exit statuses, and its last line."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from scripted import NAMES, SCENARIOS, frames, place, planner, trial, whole

from worldswitch.harness.catalogue import scenarios as catalogue
from worldswitch.harness.catalogue.mutants import mutants
from worldswitch.harness.cell.trial import Result
from worldswitch.harness.cli import main
from worldswitch.harness.environments import plan
from worldswitch.harness.environments.protocol import Environment, Missing
from worldswitch.harness.expectations.judgement import Expectation
from worldswitch.harness.run import request
from worldswitch.harness.verdict import Verdict

PASSES = place("host", frames(whole(*map(trial, NAMES))))
FAILS = place(
    "docker:a",
    frames(
        whole(
            trial(
                NAMES[0],
                Verdict.FAIL,
                assertion=True,
                reason="assert 1 == 2",
                detail="E   assert 1 == 2",
                transcript=["0.1 switch() -> Syscall(39)"],
            )
        )
    ),
)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Run `worldswitch run` in scripted environments."""
    monkeypatch.setattr(catalogue, "scenarios", lambda: list(SCENARIOS))
    monkeypatch.setattr(request, "rehearse_platform", lambda _: Result(verdict=Verdict.PASS))

    def command(*places: Environment | Missing, arguments: tuple[str, ...] = ()) -> int:
        monkeypatch.setattr(plan, "plan", planner(*places))
        return main.main(["run", "--results", str(tmp_path), *arguments])

    return command


def test_all_as_expected_is_0(run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(PASSES) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "3 passed, 0 failed, 0 skipped"


def test_something_unexpected_is_1(run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(PASSES, FAILS) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "3 passed, 1 failed, 0 skipped"


def test_an_environment_that_could_not_run_is_2(run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(PASSES, Missing("docker:a", "no engine runs here", "install one")) == 2
    printed = capsys.readouterr().out
    assert "no engine runs here" in printed
    assert "what to do: install one" in printed
    assert printed.splitlines()[-1] == "3 passed, 3 failed, 0 skipped"


def test_a_problem_of_several_environments_is_printed_once(run, capsys: pytest.CaptureFixture[str]) -> None:
    missing = [Missing(f"docker:{name}", "no engine runs here", "install one") for name in "abc"]
    assert run(PASSES, *missing) == 2
    printed = capsys.readouterr().out
    assert printed.count("what to do: install one") == 1
    assert "docker:a, docker:b, docker:c: no engine runs here\n  9 of 9 trials never ran" in printed


def test_trials_that_never_ran_are_counted_as_the_keyword_selects(run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Missing("docker:a", "no engine", "install one"), arguments=("-k", "ignored and not another")) == 2
    assert capsys.readouterr().out.splitlines()[-1] == "0 passed, 1 failed, 0 skipped"


def test_a_scenario_with_parameters_counts_as_its_trials(
    run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    several = replace(SCENARIOS[0], variants=("[default]", "[resident]"))
    monkeypatch.setattr(catalogue, "scenarios", lambda: [several])
    assert run(Missing("docker:a", "no engine", "install one")) == 2
    assert capsys.readouterr().out.splitlines()[-1] == "0 passed, 2 failed, 0 skipped"


def test_a_failure_has_its_claim_evidence_and_commands(run, capsys: pytest.CaptureFixture[str]) -> None:
    run(FAILS, arguments=("--seed", "11"))
    printed = capsys.readouterr().out
    for part in (
        f"FAIL SG01 {NAMES[0]} in docker:a",
        f"The claim of {NAMES[0]}.",
        "assert 1 == 2",
        "0.1 switch() -> Syscall(39)",
        f"worldswitch repro docker:a::{NAMES[0]}@",
        f"worldswitch run --engine docker --profile a --id {NAMES[0]} --repeat quick --seed 11",
    ):
        assert part in printed


def test_expected_skips_are_printed_with_their_reason(run, capsys: pytest.CaptureFixture[str]) -> None:
    line = Expectation(("SG01",), frozenset({Verdict.BLOCKED}), "no namespaces here")
    blocked = trial(NAMES[0], Verdict.BLOCKED, reason="needs pidns: not permitted")
    assert run(place("docker:a", frames(whole(blocked)), line)) == 0
    printed = capsys.readouterr().out
    assert "blocked, as expected: no namespaces here\n  1 in docker:a" in printed
    assert "SG01: needs pidns: not permitted" in printed


def test_a_fault_of_the_harness_is_one_cause(run, capsys: pytest.CaptureFixture[str]) -> None:
    errors = [trial(name, Verdict.ERROR, reason="no such module") for name in NAMES]
    assert run(place("host", frames(whole(*errors)))) == 2
    printed = capsys.readouterr().out
    assert "not as expected: 3 trials, 1 cause\n\nERROR 3 trials: no such module\n" in printed
    assert printed.count("reason     no such module") == 1


# -------------------------------------------------------------------------------------------------------- wrong input


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--id", "XX99"], "no scenario has the id XX99; see `worldswitch list scenarios`"),
        (["run", "--profile", "nope"], "no such profile (did you mean no-ptrace?)"),
        (["run", "--profile", "nope.toml"], "cannot be read"),
        (["run", "--engine", "host", "--profile", "hardened"], "drop one of the two"),
        (["run", "--platform", "nope"], "no platform is called 'nope'"),
        (["run", "--platform", "no.such:Class"], "No module named"),
        (["run", "--platform", "json:nothing"], "the module json has no nothing"),
        (["run", "--results", "/proc/nowhere"], "results cannot go to /proc/nowhere"),
        (["mutants", "Nobody"], "no mutant is called 'Nobody'"),
        (["list", "--id", "XX99"], "no scenario has the id XX99"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_impossible_request_is_refused_in_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(arguments) == 2
    message = capsys.readouterr().err
    assert words in message
    assert message.startswith(f"worldswitch {arguments[0]}: ")
    assert "Traceback" not in message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "required: COMMAND"),
        (["fly"], "invalid choice: 'fly'"),
        (["run", "--deadline", "0"], "expected a number of seconds > 0, got '0'"),
        (["run", "--deadline", "soon"], "expected a number of seconds > 0, got 'soon'"),
        (["run", "--deadline", "inf"], "expected a number of seconds > 0, got 'inf'"),
        (["run", "--seed", "-1"], "argument --seed"),
        (["run", "--seed", "4294967296"], "expected an integer from 0 to 4294967295, got '4294967296'"),
        (["run", "-n", "0"], "expected an integer from 1 to 1024, got '0'"),
        (["run", "-n", "many"], "expected an integer from 1 to 1024, got 'many'"),
        (["run", "-n", "100000"], "expected an integer from 1 to 1024, got '100000'"),
        (["run", "--repeat", "ever"], "invalid choice: 'ever'"),
        (["run", "--engine", "steam"], "invalid choice: 'steam'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_option_is_refused(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main.main(arguments)
    assert refused.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [[], ["run"], ["matrix"], ["kernels"], ["bisect"], ["list"], ["doctor"], ["mutants"]]
)
def test_help_lists_the_exit_statuses(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main([*command, "--help"])
    assert ended.value.code == 0
    assert "exit status:" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------------------- lists


def test_the_json_list_has_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {"name", "ids", "claim", "clauses", "needs"} <= listed["scenarios"][0].keys()
    assert "reference" in listed["platforms"]
    assert "hardened" in listed["profiles"]
    assert all(mutant["caught_by"] for mutant in listed["mutants"].values())


def test_a_defect_is_70_and_one_line_to_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise KeyError("a defect")

    monkeypatch.setattr(catalogue, "scenarios", fail)
    assert main.main(["list"]) == 70
    first, *rest = capsys.readouterr().err.splitlines()
    assert first.startswith("worldswitch list: internal error: KeyError: 'a defect'; report this line")
    assert rest[0].startswith("Traceback")


def test_an_exhausted_limit_is_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/some/file")

    monkeypatch.setattr(catalogue, "scenarios", fail)
    assert main.main(["list"]) == 2
    assert capsys.readouterr().err == "worldswitch list: /some/file: no space is left\n"


def test_the_text_list_has_the_claims(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["list", "--id", "IN03"]) == 0
    assert "an interrupt ends a running switch" in capsys.readouterr().out


def test_every_profile_and_mutant_names_existing_scenarios() -> None:
    from worldswitch.harness.environments.profiles import profile as profiles
    from worldswitch.harness.expectations import rules
    from worldswitch.harness.run.mutants import fates

    scenarios = catalogue.scenarios()
    for profile in profiles.select([profiles.ALL]):
        for line in rules.of_profile(profile):
            for pattern in line.scenarios:
                assert any(Expectation((pattern,), line.verdicts, "").covers(one.name, one.ids) for one in scenarios), (
                    f"{profile.name} expects something of {pattern}"
                )
    for mutant in mutants().values():
        for name in mutant.caught_by:
            assert fates.called(scenarios, name), f"{mutant.name} is to be caught by {name}"
