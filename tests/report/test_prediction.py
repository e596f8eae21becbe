"""Predicted verdicts beside observed ones: what agrees, what is a finding, what has no prediction."""

from __future__ import annotations

import dataclasses

import big_run
import pytest
from msgspec.structs import replace
from scripted import header

from worldswitch.harness.cell.records import Trial
from worldswitch.harness.expectations.judgement import PASSES, Judgement
from worldswitch.harness.expectations.outcome import Judged, Problem
from worldswitch.harness.report import explain, prediction
from worldswitch.harness.report.matrix import page
from worldswitch.harness.results.cell_file import Reached
from worldswitch.harness.results.manifest import Forecast
from worldswitch.harness.results.reader import KeptCell
from worldswitch.harness.results.trial_id import KeptTrial
from worldswitch.harness.verdict import Verdict

AS_PLANNED, NOT_SO = Judgement(True, PASSES), Judgement(False, PASSES)
BY_RULE = Judgement(True, frozenset({Verdict.BLOCKED}), "a capability is missing")
DENIED = "needs ptrace: ptrace(PTRACE_SEIZE) is denied by syscalls[0] (SCMP_ACT_ERRNO EPERM)"
FORECAST = Forecast(verdicts={"a::denied": ("blocked", 0), "a::unknown": ("", 1)}, reasons=(DENIED, "perhaps fails"))


def judged(scenario: str, verdict: Verdict, judgement: Judgement = AS_PLANNED) -> Judged:
    return Judged(Trial(scenario=scenario, verdict=verdict, ids=("SG01",), reason="so it was"), judgement)


def cell(*trials: Judged, forecast: Forecast | None = FORECAST, ran: bool = True) -> KeptCell:
    made = big_run.kept_cell("oci:tight", trials, None if ran else Problem("it died"))
    reached = Reached(header=header() if ran else None)
    return dataclasses.replace(made, plan=replace(made.plan, forecast=forecast), reached=reached)


@pytest.mark.parametrize(
    ("predicted", "observed", "judgement", "agrees"),
    [
        ("pass", Verdict.PASS, AS_PLANNED, True),
        ("blocked", Verdict.BLOCKED, BY_RULE, True),
        ("blocked", Verdict.PASS, AS_PLANNED, False),
        ("pass", Verdict.FAIL, NOT_SO, False),
        ("fail", Verdict.TIMEOUT, NOT_SO, True),
        ("pass", Verdict.BLOCKED, BY_RULE, True),
        ("pass", Verdict.BLOCKED, NOT_SO, False),
        ("unsupported", Verdict.BLOCKED, NOT_SO, False),
    ],
)
def test_agreement(predicted: str, observed: Verdict, judgement: Judgement, agrees: bool) -> None:
    made = Forecast(verdicts={"a::b": (predicted, 0)}, reasons=("needs x: y",), probes=("x",))
    one = judged("a::b", observed, judgement)
    assert prediction.agrees(cell(one, forecast=made), one) is agrees


@pytest.mark.parametrize(
    ("reason", "agrees"),
    [
        ("needs other_user: the filter was not even asked", True),
        ("needs pidns: a capability is missing", True),
        ("needs memfd: it is predicted to change too, but not this trial", False),
    ],
)
def test_a_probe_that_something_else_fails_agrees(reason: str, agrees: bool) -> None:
    why = "needs other_user: setresuid is denied"
    made = Forecast(verdicts={"a::b": ("blocked", 0)}, reasons=(why,), probes=("other_user", "memfd"))
    one = Judged(Trial(scenario="a::b", verdict=Verdict.UNSUPPORTED, reason=reason), AS_PLANNED)
    assert prediction.agrees(cell(one, forecast=made), one) is agrees


def test_a_disagreement_is_told_first() -> None:
    wrong = cell(judged("a::denied", Verdict.PASS), judged("a::other", Verdict.PASS))
    right = cell(judged("a::denied[2]", Verdict.BLOCKED, BY_RULE), judged("a::unknown", Verdict.FAIL, NOT_SO))
    assert list(prediction.lines(big_run.kept_run(right, wrong))) == [
        "oci:tight: 1 verdicts are not as predicted from the filter:",
        f"  SG01: predicted blocked ({DENIED}), observed pass: so it was",
        "oci:tight: 1 of 1 verdicts are as predicted from the filter; 1 have no prediction or no verdict",
    ]


def test_a_run_without_forecasts_has_no_lines() -> None:
    assert list(prediction.lines(big_run.kept_run(cell(judged("a::b", Verdict.PASS), forecast=None)))) == []


def test_a_container_that_was_to_start_and_did_not_is_a_finding() -> None:
    found = list(prediction.disagreements(cell(judged("a::other", Verdict.MISS), ran=False)))
    assert [(one.predicted, one.observed) for one in found] == [("pass", "miss")]


def test_a_container_that_was_not_to_start_and_did_is_a_finding() -> None:
    never = Forecast(start="no container starts", verdicts={"a::b": ("miss", 0)}, reasons=("no container starts",))
    assert [one.why for one in prediction.disagreements(cell(judged("a::b", Verdict.PASS), forecast=never))] == [
        "no container starts"
    ]
    assert list(prediction.disagreements(cell(judged("a::b", Verdict.MISS), forecast=never, ran=False))) == []


def test_an_interrupted_cell_is_not_compared() -> None:
    made = cell(judged("a::denied", Verdict.MISS), ran=False)
    cut = dataclasses.replace(made, problem=Problem("the run was interrupted before"))
    assert prediction.counted(cut).startswith("0 of 0 verdicts")


def test_the_page_has_predictions_and_disagreements() -> None:
    wrong = big_run.kept_run(cell(judged("a::denied", Verdict.PASS)))
    text = page.page(wrong, lambda *_: "again")
    assert "Not as predicted from the filter" in text
    assert text.index("Not as predicted") < text.index('id="grid"')
    assert '"predicted":"b"' in text
    right = page.page(big_run.kept_run(cell(judged("a::other", Verdict.PASS))), lambda *_: "again")
    assert "Not as predicted" not in right
    assert "oci:tight: 1 of 1 verdicts are as predicted from the filter" in right


def test_the_explanation_has_the_prediction() -> None:
    shown = cell(judged("a::denied", Verdict.PASS))
    saved = KeptTrial(big_run.kept_run(shown), shown, shown.judged[0])
    assert list(explain._predicted(saved)) == [f"blocked: {DENIED}; the observed verdict differs"]
