"""A kernel that complained makes its cell's run unexpected, whatever its trials came to."""

from __future__ import annotations

from worldswitch.harness.cell_name import CellName
from worldswitch.harness.collect import Problem
from worldswitch.harness.ledger import unsound
from worldswitch.harness.outcome import CellOutcome, Status, status
from worldswitch.harness.results import Complaint

COMPLAINTS = (Complaint(meaning="it warned", line="WARNING: x"), Complaint(meaning="it warned", line="WARNING: y"))


def test_it_is_a_problem_of_its_own() -> None:
    problem = unsound(COMPLAINTS, None)
    assert problem.reason == "the cell's kernel is not sound: it warned"
    assert problem.log == "WARNING: x\nWARNING: y"


def test_it_is_told_beside_another() -> None:
    problem = unsound(COMPLAINTS, Problem("the guest was lost", log="console"))
    assert "the guest was lost" in problem.reason
    assert "it warned" in problem.reason
    assert problem.log == "console"


def test_the_run_is_unexpected() -> None:
    outcome = CellOutcome(CellName("linux-6.12"), (), 1.0, unsound(COMPLAINTS, None))
    assert status([outcome]) is Status.UNEXPECTED


def test_another_problem_alone_is_not() -> None:
    outcome = CellOutcome(CellName("linux-6.12"), (), 1.0, Problem("the guest was lost"))
    assert status([outcome]) is Status.COULD_NOT_RUN
