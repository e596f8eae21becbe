"""The answer to "can a ptrace sandbox run here?" says what trials showed, and no more."""

from __future__ import annotations

import pytest
from paths import ROOT

from worldswitch.harness.catalogue import scenarios
from worldswitch.harness.cell.records import Trial
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.expectations.judgement import PASSES, Judgement
from worldswitch.harness.expectations.outcome import CellOutcome, Judged, Problem
from worldswitch.harness.report.outcome.answer import answer
from worldswitch.harness.results.baseline import read
from worldswitch.harness.verdict import Verdict

EXPECTED = Judgement(True, PASSES)
DENIED = Judgement(True, frozenset({Verdict.BLOCKED}), "the profile denies ptrace")


def one(verdict: Verdict, reason: str = "", judgement: Judgement | None = None, name: str = "pool::a") -> Judged:
    judged = judgement or Judgement(verdict is Verdict.PASS, PASSES)
    return Judged(Trial(scenario=name, verdict=verdict, reason=reason), judged)


PASS = one(Verdict.PASS)
FAIL = one(Verdict.FAIL, "1 == 2", name="pool::b")
BLOCKED = one(Verdict.BLOCKED, "needs ptrace: Operation not permitted", DENIED)


def cell(name: str, *judged: Judged, problem: str = "") -> CellOutcome:
    return CellOutcome(CellName(*name.split("/")), judged, 1.0, Problem(problem) if problem else None)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([cell("host", PASS)], "reference runs on the host (1 trial)."),
        (
            [cell("host", PASS), cell("docker:a", PASS), cell("docker:b", PASS), cell("docker:no", BLOCKED, PASS)],
            "reference runs on the host and under a, b (1 trial); not under no: the profile denies ptrace.",
        ),
        ([cell("docker:no", BLOCKED)], "reference cannot run under no: the profile denies ptrace."),
        (
            [cell("docker:mine", one(Verdict.BLOCKED, "needs ptrace: Operation not permitted"))],
            "reference cannot run under mine: needs ptrace: Operation not permitted.",
        ),
        ([cell("host", PASS, FAIL)], "reference misbehaves on the host: 1 of 2 trials failed."),
        (
            [cell("host", PASS, one(Verdict.FAIL, "x", Judgement(True, frozenset({Verdict.FAIL}), "seed.W1")))],
            "reference runs with known failures on the host (2 trials).",
        ),
        (
            [cell("host", PASS), cell("host/seed", FAIL)],
            "reference runs on the host (1 trial). seed misbehaves on the host: 1 of 1 trial failed.",
        ),
        (
            [cell(f"linux-{kernel}:{profile}", PASS) for kernel in ("5.10", "6.12") for profile in "ab"],
            "reference runs on Linux 5.10, Linux 6.12 under a, b (1 trial).",
        ),
        (
            [
                *(cell(f"linux-{kernel}:a", PASS) for kernel in ("5.10", "6.12")),
                *(cell(f"linux-{kernel}:no", BLOCKED) for kernel in ("5.10", "6.12")),
            ],
            "reference runs on Linux 5.10, Linux 6.12 under a (1 trial); not under no: the profile denies ptrace.",
        ),
        (
            [cell("linux-5.10:a", FAIL), cell("linux-6.12:a", PASS)],
            "reference runs on Linux 6.12 under a (1 trial); misbehaves on Linux 5.10 under a: 1 of 1 trial failed.",
        ),
        (
            [cell("linux-6.12", PASS), cell("linux-6.12:a", PASS)],
            "reference runs on Linux 6.12 without a container and under a (1 trial).",
        ),
        ([cell("docker:a", PASS), cell("oci:a", PASS)], "reference runs under a, a (oci) (1 trial)."),
    ],
)
def test_the_answer_is_a_sentence(cells: list[CellOutcome], said: str) -> None:
    assert answer(cells) == said


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([], "Nothing ran: no environment was planned."),
        ([cell("docker:a", one(Verdict.MISS), problem="no engine")], "reference undecided under a: no engine."),
        (
            [cell("host", PASS, one(Verdict.MISS), problem="stopped")],
            "reference undecided on the host: stopped.",
        ),
        (
            [cell("host", PASS, one(Verdict.ERROR, "no module", name="pool::b"))],
            "reference undecided on the host: 1 of 2 trials reached no verdict: no module.",
        ),
        (
            [cell("host", one(Verdict.PASS, name="kernel_waits::a"))],
            "reference undecided on the host: no scenario about a platform was selected.",
        ),
        (
            [cell("host", one(Verdict.UNSUPPORTED, "needs pku: no", EXPECTED))],
            "reference undecided on the host: without a reason.",
        ),
        (
            [cell("host", PASS, BLOCKED, FAIL)],
            "reference misbehaves on the host: 1 of 3 trials failed.",
        ),
        ([cell("host", one(Verdict.MISS, "\x1b[2J"))], "reference undecided on the host: 1 of 1 trial"),
    ],
)
def test_what_was_not_seen_is_not_said(cells: list[CellOutcome], said: str) -> None:
    assert answer(cells).startswith(said)
    assert "\x1b" not in answer(cells)


def test_a_baseline_without_reasons_does_not_say_that_a_denied_platform_runs() -> None:
    blocked = [one(Verdict.BLOCKED, "", DENIED, name=f"pool::{letter}") for letter in "bcd"]
    assert answer([cell("docker:no", PASS, *blocked)]) == "reference cannot run under no: the profile denies ptrace."
    assert answer([cell("docker:a", PASS, PASS, PASS, blocked[0])]) == "reference runs under a (4 trials)."


def test_the_answer_of_the_packaged_baseline() -> None:
    said = answer(read.load(ROOT / "results" / "baseline").outcomes)
    assert said.startswith("reference runs on Linux 5.10, ")
    assert "; not under no-ptrace: the profile denies ptrace" in said
    assert "; not under ptrace-killed: the profile kills" in said


def test_scenarios_about_the_kernel_alone_are_known_by_their_module() -> None:
    every = scenarios.scenarios()
    assert {one.name for one in every if scenarios.is_about_the_kernel(one.name)} == {
        one.name for one in every if one.subject == "kernel"
    }
