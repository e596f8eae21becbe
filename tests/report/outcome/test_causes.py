"""Unexpected verdicts are grouped by cause, and many of them print little."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from worldswitch.harness.cell.records import Trial
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.expectations.judgement import PASSES, Judgement
from worldswitch.harness.expectations.outcome import CellOutcome, Judged, Problem
from worldswitch.harness.report import failure, terminal
from worldswitch.harness.report.console import legibly
from worldswitch.harness.report.outcome import causes, closing
from worldswitch.harness.run.request import Request
from worldswitch.harness.verdict import Verdict

WRONG = Judgement(False, PASSES)


def one(number: int, reason: str, verdict: Verdict = Verdict.FAIL, **more: object) -> Judged:
    values: dict[str, object] = {"ids": (f"SG{number:02}",), "claim": "It holds."} | more
    return Judged(Trial(scenario=f"pool::claim_{number}", verdict=verdict, reason=reason, **values), WRONG)  # type: ignore[arg-type]


def cell(name: str, *judged: Judged, problem: Problem | None = None) -> CellOutcome:
    return CellOutcome(CellName(name), judged, 1.0, problem)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (one(1, "assert 0x7f0012 == 12"), one(2, "assert 0x7f00fe == 9")),
        (one(1, "stub 4711 died after 0.31 s"), one(2, "stub 7 died after 12 s")),
        (one(1, "needs ptrace: EPERM", Verdict.BLOCKED), one(2, "needs ptrace: killed", Verdict.BLOCKED)),
        (one(1, "the same\nfirst line"), one(2, "the same\nand another second")),
        (one(1, ""), one(2, "")),
    ],
)
def test_one_cause_is_one_group(first: Judged, second: Judged) -> None:
    (group,) = causes.groups([cell("host", first), cell("docker:a", second)])
    assert (len(group.trials), group.cells) == (2, ["host", "docker:a"])
    assert group.reason == causes.first_line(first.trial)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (one(1, "a died"), one(2, "b died")),
        (one(1, "same", Verdict.FAIL), one(2, "same", Verdict.CRASH)),
        (one(1, "needs ptrace: EPERM", Verdict.BLOCKED), one(2, "needs pidns: EPERM", Verdict.BLOCKED)),
    ],
)
def test_two_causes_are_two_groups(first: Judged, second: Judged) -> None:
    assert len(causes.groups([cell("host", first, second)])) == 2


def test_the_commonest_cause_is_first_and_faults_of_the_harness_last() -> None:
    rare, common = one(1, "rare"), [one(number, "common") for number in (2, 3)]
    faults = [one(number, "fault", Verdict.ERROR) for number in range(4, 9)]
    found = causes.groups([cell("host", *faults, rare, *common)])
    assert [str(group) for group in found] == ["FAIL 2 trials: common", "FAIL 1 trial: rare", "ERROR 5 trials: fault"]


def test_misses_that_a_problem_explains_are_no_failures() -> None:
    missed = one(1, "stopped", Verdict.MISS)
    problem = Problem("stopped")
    assert causes.groups([cell("host", missed, problem=problem)]) == []
    assert causes.problems([cell("host", missed, problem=problem), cell("docker:a", problem=problem)]) == {
        problem: ["host", "docker:a"]
    }
    assert len(causes.groups([cell("host", missed)])) == 1


def test_scenarios_are_selected_by_id_else_by_name() -> None:
    found = causes.groups([cell("host", one(2, "x"), one(1, "y"), one(2, "x"), one(3, "z", ids=()))])
    assert causes.selection(found) == "--id SG01 --id SG02 --id pool::claim_3"


# ------------------------------------------------------------------------------------------------------ what is printed


def printed(*cells: CellOutcome) -> str:
    out = legibly(Console(file=io.StringIO(), soft_wrap=True, width=200, highlight=False, emoji=False, markup=False))
    terminal.summary(cells, Path("results/a-run"), Request(seed=7), out)
    return out.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_133_failures_of_few_causes_print_little_and_name_each_scenario_once() -> None:
    detail = "\n".join(f"E   line {number} of the report" for number in range(300))
    failures = [one(number, f"cause {'abcdefg'[number % 7]}: got {number}", detail=detail) for number in range(133)]
    said = printed(cell("host", *failures))
    assert "not as expected: 133 trials, 7 causes" in said
    assert "FAIL 19 trials: cause a: got 0\n  in host\n  SG00 pool::claim_0\n  SG07 pool::claim_7\n" in said
    assert len(said.encode()) < 25_000
    assert said.count("E   line 299 of the report") == failure.DETAILED
    assert "E   line 279 of" not in said
    assert said.count("--id SG") == 133
    assert all(said.count(f"\n  SG{number:02} pool::claim_{number}\n") == 1 for number in range(100))


def test_more_causes_and_scenarios_than_fit_are_counted() -> None:
    many = [one(number, f"cause {chr(97 + number % 26)}{chr(97 + number // 26)}") for number in range(30)]
    assert "and 10 more causes" in printed(cell("host", *many))
    assert "and 5 more scenarios" in printed(cell("host", *(one(number, "x") for number in range(25))))


def test_the_first_line_is_the_answer_and_the_last_the_counts() -> None:
    lines = printed(cell("host", one(1, "x"))).strip().splitlines()
    assert lines[0] == "reference misbehaves on the host: 1 of 1 trial failed."
    assert lines[-1] == "0 passed, 1 failed, 0 skipped"


def test_what_failed_can_be_selected_explained_and_repeated() -> None:
    said = printed(cell("docker:a", one(1, "x"), one(2, "x")))
    assert "these scenarios:   --id SG01 --id SG02\n" in said
    assert "explain the first: worldswitch explain 'docker:a::pool::claim_1@results/a-run'\n" in said
    assert "repeat all:        worldswitch run --lf\n" in said
    out = Console(file=io.StringIO(), soft_wrap=True, emoji=False)
    closing.repeat([cell("host", one(1, "x"))], Path("elsewhere/a-run"), out)
    assert "worldswitch run --lf --results elsewhere\n" in out.file.getvalue()  # type: ignore[attr-defined]


def test_without_a_failure_there_is_nothing_to_repeat() -> None:
    said = printed(cell("host", one(1, "stopped", Verdict.MISS), problem=Problem("stopped", "go on")))
    assert "--lf" not in said
    assert "host: stopped\n  1 of 1 trials never ran\n  what to do: go on\n" in said


def test_one_problem_of_several_cells_is_printed_once() -> None:
    problem = Problem("no engine runs here", "install one", "line 1")
    cells = [cell(name, one(1, "x", Verdict.MISS), problem=problem) for name in ("docker:a", "docker:b", "docker:c")]
    said = printed(*cells)
    assert "docker:a, docker:b, docker:c: no engine runs here\n  3 of 3 trials never ran\n" in said
    assert said.count("install one") == 1


def test_a_platforms_words_are_legible() -> None:
    said = printed(cell("host", one(1, "\x1b[2J", output="\n::error::x\n", transcript=("\x1b]0;x",))))
    assert "\x1b" not in said
    assert "::error" not in said
    assert "\\x1b[2J" in said


def test_trials_that_were_tried_again_are_counted() -> None:
    tried = [one(number, "", Verdict.PASS, attempts=("the machine was starved: ...",)) for number in range(2)]
    text = printed(cell("host", *tried, one(3, "AssertionError: 1 is not 2")))
    assert "2 of 3 trials tried again, as the machine was starved: 2 pass" in text


def test_without_a_starved_machine_no_attempts_are_mentioned() -> None:
    assert "tried again" not in printed(cell("host", one(3, "AssertionError: 1 is not 2")))
