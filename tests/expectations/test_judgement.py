"""Judgements of verdicts, and the exit status and totals of a run."""

import itertools

import pytest
from scripted import trial

from worldswitch.harness.cell_name import CellName
from worldswitch.harness.expectations.judgement import PASSES, Expectation, Judgement, judge
from worldswitch.harness.expectations.outcome import CellOutcome, Judged, Problem, Status, status, tally
from worldswitch.harness.verdict import Verdict

PASS, FAIL, ERROR, MISS = Verdict.PASS, Verdict.FAIL, Verdict.ERROR, Verdict.MISS
BLOCKED, UNSUPPORTED = Verdict.BLOCKED, Verdict.UNSUPPORTED


def line(pattern: str, *verdicts: Verdict) -> Expectation:
    return Expectation((pattern,), frozenset(verdicts), "for a reason")


def judged(verdict: Verdict, *lines: Expectation, excuse: str = "") -> Judgement:
    return judge("signals::one", ("SG01", "SG02"), verdict, lines, excuse)


@pytest.mark.parametrize("verdict", Verdict)
def test_without_a_rule_only_a_pass_is_expected(verdict: Verdict) -> None:
    assert judged(verdict).expected is (verdict is PASS)


@pytest.mark.parametrize("pattern", ["SG01", "SG02", "SG*", "*", "signals::one", "signals::*"])
def test_a_rule_covers_ids_and_names_and_patterns_of_both(pattern: str) -> None:
    assert judged(BLOCKED, line(pattern, BLOCKED)) == Judgement(True, frozenset({BLOCKED}), "for a reason")


@pytest.mark.parametrize("pattern", ["SG03", "sg01", "G01", "signals"])
def test_a_rule_covers_nothing_else(pattern: str) -> None:
    assert judged(PASS, line(pattern, BLOCKED)) == Judgement(True, PASSES)


def test_the_first_rule_that_covers_decides() -> None:
    assert judged(PASS, line("SG01", PASS), line("*", BLOCKED)).expected
    assert not judged(PASS, line("*", BLOCKED), line("SG01", PASS)).expected


def test_an_unexpected_pass_is_not_expected() -> None:
    judgement = judged(PASS, line("*", BLOCKED))
    assert not judgement.expected
    assert str(judgement) == "expected blocked: for a reason"


def test_expected_verdicts_are_printed_in_order() -> None:
    assert str(Judgement(False, frozenset({PASS, FAIL, BLOCKED}))) == "expected blocked or fail or pass"


@pytest.mark.parametrize("verdict", [ERROR, MISS])
def test_error_and_miss_are_never_expected(verdict: Verdict) -> None:
    assert not judged(verdict, line("*", verdict)).expected


def test_a_rule_covers_scenarios_by_their_needs() -> None:
    line = Expectation((), frozenset({BLOCKED}), "so", frozenset({"pidns"}))
    assert judge("signals::one", ("SG01",), BLOCKED, [line], needs=("smp", "pidns")).expected
    assert not judge("signals::one", ("SG01",), BLOCKED, [line], needs=("smp",)).expected


def test_an_excuse_applies_to_unsupported_and_blocked_only() -> None:
    assert judged(BLOCKED, excuse="an ordinary user").expected
    assert judged(UNSUPPORTED, line("*", BLOCKED), excuse="no such kernel") == Judgement(
        True, frozenset({BLOCKED, UNSUPPORTED}), "no such kernel"
    )
    assert not judged(FAIL, excuse="no such kernel").expected
    assert judge("signals::one", (), UNSUPPORTED, ()) == Judgement(False, PASSES)


# --------------------------------------------------------------------------------------------------- exit status


def cell(*verdicts: Verdict, problem: str = "", expected: frozenset[Verdict] = PASSES) -> CellOutcome:
    numbered = zip(verdicts, itertools.count(), strict=False)
    all_judged = tuple(
        Judged(trial(f"signals::{number}", verdict), judge("", (), verdict, [Expectation(("*",), expected, "so")]))
        for verdict, number in numbered
    )
    return CellOutcome(CellName("host"), all_judged, 1.0, Problem(problem) if problem else None)


CELLS = {
    "all passed": ([cell(PASS, PASS)], Status.AS_EXPECTED),
    "one failed": ([cell(PASS, FAIL)], Status.UNEXPECTED),
    "one failed, and a cell did not run": ([cell(FAIL), cell(MISS, problem="no engine")], Status.UNEXPECTED),
    "blocked as expected": ([cell(BLOCKED, expected=frozenset({BLOCKED}))], Status.AS_EXPECTED),
    "passed unexpectedly": ([cell(PASS, expected=frozenset({BLOCKED}))], Status.UNEXPECTED),
    "one error": ([cell(PASS, ERROR)], Status.UNEXPECTED),
    "nothing but errors": ([cell(ERROR, ERROR)], Status.COULD_NOT_RUN),
    "nothing but misses": ([cell(MISS, MISS)], Status.COULD_NOT_RUN),
    "a cell that did not run": ([cell(PASS), cell(MISS, problem="no engine")], Status.COULD_NOT_RUN),
    "a cell that was cut off": ([cell(PASS, MISS, problem="it died")], Status.COULD_NOT_RUN),
    "a miss without a problem": ([cell(PASS, MISS)], Status.COULD_NOT_RUN),
    "a problem after the last trial": ([cell(PASS, problem="no footer")], Status.COULD_NOT_RUN),
    "no cell at all": ([], Status.COULD_NOT_RUN),
    "a cell with nothing in it": ([cell(problem="nothing was selected")], Status.COULD_NOT_RUN),
}


@pytest.mark.parametrize(("cells", "expected"), CELLS.values(), ids=CELLS)
def test_the_exit_status(cells: list[CellOutcome], expected: Status) -> None:
    assert status(cells) is expected


def test_the_closing_numbers_count_every_trial_once() -> None:
    cells = [cell(PASS, PASS, FAIL, ERROR, MISS), cell(BLOCKED, PASS, expected=frozenset({BLOCKED}))]
    assert str(tally(cells)) == "2 passed, 4 failed, 1 skipped"
