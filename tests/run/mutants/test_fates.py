"""The fate of a mutant: when it counts as caught, and when not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mutilated import bitten
from scripted import NAMES, SCENARIOS, header, trial, whole

from worldswitch.harness.cell.records import Trial
from worldswitch.harness.expectations.outcome import Problem
from worldswitch.harness.run.mutants import fates
from worldswitch.harness.run.mutants.fates import CellReport, Fate, MutantFate, MutantFinding
from worldswitch.harness.verdict import Verdict

ONE, OTHER, THIRD = NAMES  # the first two have the same id, SG01
PASSES = tuple(trial(name) for name in NAMES)


def account(*trials: Trial, problem: str = "") -> CellReport:
    return CellReport({one.scenario: one for one in trials}, problem)


def fate(caught_by: str, mutated: CellReport, reference: CellReport = account(*PASSES)) -> Fate:  # noqa: B008 - frozen
    return fates.examine("Forgetful", "host", [caught_by], reference, mutated).fate


@pytest.mark.parametrize("name", ["SG01", ONE, "SG*"])
def test_one_scenario_of_the_name_is_enough(name: str) -> None:
    assert fate(name, account(bitten(), trial(OTHER), trial(THIRD))) is Fate.CAUGHT


@pytest.mark.parametrize(
    ("mutated", "expected"),
    [
        (account(*PASSES), Fate.SURVIVED),
        (account(trial(ONE, Verdict.FAIL), trial(OTHER)), Fate.SURVIVED),  # an error of the platform, not an assertion
        (account(trial(ONE, Verdict.CRASH), trial(OTHER)), Fate.ERROR),
        (account(trial(ONE, Verdict.TIMEOUT), trial(OTHER)), Fate.ERROR),
        (account(trial(ONE, Verdict.ERROR), trial(OTHER)), Fate.ERROR),
        (account(trial(ONE, Verdict.MISS), trial(OTHER)), Fate.ERROR),
        (account(trial(ONE, Verdict.UNSUPPORTED), trial(OTHER)), Fate.ERROR),
        (account(bitten(ONE), trial(OTHER, Verdict.CRASH)), Fate.ERROR),
        (account(bitten(ONE)), Fate.ERROR),  # the other one of that id did not run
        (account(), Fate.ERROR),
        (account(bitten(ONE), bitten(OTHER), problem="the cell died"), Fate.ERROR),
    ],
)
def test_nothing_else_is_a_kill(mutated: CellReport, expected: Fate) -> None:
    assert fate("SG01", mutated) is expected


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.CRASH, Verdict.TIMEOUT, Verdict.ERROR, Verdict.MISS])
def test_the_reference_must_pass_first(verdict: Verdict) -> None:
    assert fate("SG01", account(bitten(), bitten(OTHER)), account(trial(ONE, verdict), trial(OTHER))) is Fate.ERROR


def test_the_reference_must_have_run() -> None:
    assert fate("SG01", account(bitten(), bitten(OTHER)), account(trial(THIRD))) is Fate.ERROR
    assert fate("SG01", account(bitten()), account(*PASSES, problem="the cell died")) is Fate.ERROR


def test_a_scenario_that_the_reference_cannot_run_is_untested() -> None:
    reference = account(trial(ONE, Verdict.UNSUPPORTED), trial(OTHER, Verdict.BLOCKED))
    assert fate("SG01", account(bitten()), reference) is Fate.UNTESTED


def test_the_worst_name_decides() -> None:
    made = fates.examine("Forgetful", "host", ["SG01", "TT01"], account(*PASSES), account(bitten(), *PASSES[1:]))
    assert [finding.fate for finding in made.findings] == [Fate.CAUGHT, Fate.SURVIVED]
    assert made.fate is Fate.SURVIVED


def test_a_mutant_that_names_nothing_is_an_error() -> None:
    assert fates.examine("Forgetful", "host", [], account(*PASSES), account(bitten())).fate is Fate.ERROR


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.CRASH, Verdict.TIMEOUT, Verdict.ERROR])
def test_an_undeclared_failure_is_reported_and_changes_no_fate(verdict: Verdict) -> None:
    third = trial(THIRD, verdict)
    made = fates.examine("Forgetful", "host", ["SG01"], account(*PASSES), account(bitten(), trial(OTHER), third))
    assert made.undeclared == (third,)
    assert made.fate is Fate.CAUGHT


def test_an_undeclared_pass_is_not_reported() -> None:
    made = fates.examine("Forgetful", "host", ["SG01"], account(*PASSES), account(bitten(), *PASSES[1:]))
    assert (made.undeclared, made.passed) == ((), (OTHER, THIRD))


def test_an_undeclared_failure_of_the_reference_too_is_not_reported() -> None:
    reference = account(*PASSES[:2], trial(THIRD, Verdict.FAIL))
    made = fates.examine("Forgetful", "host", ["SG01"], reference, account(bitten(), trial(OTHER), bitten(THIRD)))
    assert made.undeclared == ()


def test_each_scenario_that_fails_by_assertion_is_a_kill() -> None:
    made = fates.examine("Forgetful", "host", ["SG01"], account(*PASSES), account(bitten(), trial(OTHER)))
    assert [kill.scenario for kill in made.kills] == [ONE]
    assert made.passed == (OTHER,)


def test_a_failure_without_assertion_is_no_kill() -> None:
    mutated = account(bitten(), trial(OTHER, Verdict.FAIL))
    made = fates.examine("Forgetful", "host", ["SG01"], account(*PASSES), mutated)
    assert [kill.scenario for kill in made.kills] == [ONE]


def test_all_fields_of_a_fate() -> None:
    mutated = CellReport({one.scenario: one for one in (bitten(), trial(OTHER), bitten(THIRD))}, seconds=1.5, draws=3)
    findings = (MutantFinding("SG01", Fate.CAUGHT, f"fail in {ONE}: assert 1 == 2"),)
    assert fates.examine("Forgetful", "host", ["SG01"], account(*PASSES), mutated) == MutantFate(
        "Forgetful", "host", findings, (bitten(),), (bitten(THIRD),), (OTHER,), 1.5, 3
    )


def test_a_cell_that_died_is_an_error_for_every_name() -> None:
    mutated = CellReport({ONE: bitten()}, "the cell died", seconds=1.5, draws=3)
    findings = tuple(MutantFinding(name, Fate.ERROR, "the cell died") for name in ("SG01", "TT01"))
    assert fates.examine("Forgetful", "host", ["SG01", "TT01"], account(*PASSES), mutated) == MutantFate(
        "Forgetful", "host", findings, seconds=1.5, draws=3
    )


#: The trials of the reference and of the mutant for one name, and the finding.
FINDINGS = {
    "no trial of the reference": ((), (), Fate.ERROR, "no such scenario ran on the reference"),
    "the reference fails": (
        (trial(ONE), trial(OTHER, Verdict.FAIL, reason="assert 1 == 2\nbecause\nof that")),
        (),
        Fate.ERROR,
        f"the reference itself: fail in {OTHER}: assert 1 == 2",
    ),
    "not here": (
        (trial(ONE, Verdict.BLOCKED, reason="no"), trial(OTHER, Verdict.UNSUPPORTED)),
        (),
        Fate.UNTESTED,
        f"blocked in {ONE}: no",
    ),
    "not here, the only one": (
        (trial(ONE, Verdict.UNSUPPORTED),),
        (),
        Fate.UNTESTED,
        f"unsupported in {ONE}",
    ),
    "one crashed": (PASSES, (bitten(), trial(OTHER, Verdict.CRASH)), Fate.ERROR, f"crash in {OTHER}"),
    "one did not run": (PASSES, (bitten(),), Fate.ERROR, "did not run on the mutant"),
    "caught": (PASSES, (trial(ONE), bitten(OTHER)), Fate.CAUGHT, f"fail in {OTHER}: assert 1 == 2"),
    "survived": (
        PASSES,
        (trial(ONE), trial(OTHER, Verdict.FAIL, reason="the platform raised it")),
        Fate.SURVIVED,
        f"pass in {ONE}; fail in {OTHER}: the platform raised it",
    ),
}


def test_a_named_scenario_that_passes_is_missed() -> None:
    made = fates.examine(
        "Forgetful", "host", ["SG01"], account(trial(ONE), trial(OTHER)), account(trial(ONE), trial(OTHER))
    )
    assert made.missed == (ONE, OTHER)


def test_a_failure_without_assertion_is_missed() -> None:
    raised = trial(OTHER, Verdict.FAIL, reason="the platform raised it")
    made = fates.examine("Forgetful", "host", ["SG01"], account(*PASSES), account(trial(ONE), raised))
    assert made.missed == (ONE, OTHER)


def test_kills_of_drops_all_but_kills() -> None:
    found = account(bitten(ONE), trial(OTHER), trial(THIRD, Verdict.FAIL, reason="the platform raised it"))
    assert fates.kills_of(found).trials == {ONE: bitten(ONE)}
    broken = fates.kills_of(replace(found, problem="the cell did not run Forgetful"))
    assert (broken.trials, broken.problem) == ({}, "")


@pytest.mark.parametrize(("verdict", "missed"), [(Verdict.ERROR, (OTHER,)), (Verdict.TIMEOUT, ())])
def test_an_error_is_missed_and_a_timeout_is_not(verdict: Verdict, missed: tuple[str, ...]) -> None:
    broken = account(bitten(ONE), trial(OTHER, verdict))
    made = fates.examine("Forgetful", "host", ["SG01"], account(trial(ONE), trial(OTHER)), broken)
    assert (made.fate, made.missed) == (Fate.ERROR, missed)


def test_of_two_trials_of_a_scenario_the_later_counts() -> None:
    both = fates.later(account(trial(ONE), trial(OTHER)), account(bitten(ONE)))
    assert both.trials == {ONE: bitten(ONE), OTHER: trial(OTHER)}
    assert both.draws == 2


@pytest.mark.parametrize(("first", "second", "problem"), [("", "", ""), ("died", "", "died"), ("", "hung", "hung")])
def test_merged_reports_add_seconds_and_have_the_first_problem(first: str, second: str, problem: str) -> None:
    machine = header().fingerprint
    both = fates.later(CellReport({}, first, machine, 2.0), CellReport({}, second, machine, 0.5))
    assert both == CellReport({}, problem, machine, 2.5, 2)


@pytest.mark.parametrize(("before", "after", "fate", "reason"), FINDINGS.values(), ids=FINDINGS)
def test_a_finding_has_a_reason(before: tuple[Trial, ...], after: tuple[Trial, ...], fate: Fate, reason: str) -> None:
    made = fates.examine("Forgetful", "host", ["SG01"], account(*before), account(*after))
    assert [(it.name, it.fate, it.reason) for it in made.findings] == [("SG01", fate, reason)]


def test_a_cell_that_ran_another_platform_does_not_count() -> None:
    wrong = "the cell did not run Forgetful"
    assert fates.report(whole(*PASSES, mutant="Other"), "Forgetful", None).problem == wrong
    assert fates.report(whole(*PASSES), "Forgetful", None).problem == wrong
    assert fates.report(PASSES, "Forgetful", None).problem == wrong
    wrong = "the cell did not run the reference"
    assert fates.report(whole(*PASSES, mutant="Forgetful"), "", None).problem == wrong


def test_a_report_has_trials_machine_and_seconds() -> None:
    trials, machine = {one.scenario: one for one in PASSES}, header().fingerprint
    assert fates.report(whole(*PASSES), "", None) == CellReport(trials, "", machine, 0)
    forgetful = fates.report(whole(*PASSES, mutant="Forgetful"), "Forgetful", None, 1.5)
    assert forgetful == CellReport(trials, "", machine, 1.5)
    died = Problem("the cell died")
    assert fates.report(whole(*PASSES), "", died, 1.5) == CellReport(trials, "the cell died", machine, 1.5)
    assert fates.report([], "Forgetful", died) == CellReport({}, "the cell died", None, 0)


def test_scenarios_match_by_id_by_name_and_by_pattern() -> None:
    assert fates.called(SCENARIOS, "SG01") == list(SCENARIOS[:2])
    assert fates.called(SCENARIOS, "TT*", ONE) == [SCENARIOS[0], SCENARIOS[2]]
    assert fates.called(SCENARIOS, "SG02") == []
    assert fates.called(SCENARIOS) == []
