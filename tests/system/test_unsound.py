"""A cell whose kernel complained is unexpected, whatever the verdicts of its trials."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from scripted import NAMES, footer, frames, header, place, run_in, trial

from worldswitch.harness.cell.records import Complaint, KernelLog, Record
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.expectations.outcome import CellOutcome, Problem, Status, status
from worldswitch.harness.results import reader
from worldswitch.harness.run.cell_account import with_complaints
from worldswitch.harness.run.runner import Run

COMPLAINTS = (
    Complaint(meaning="it warned", line="WARNING: x"),
    Complaint(meaning="it warned", line="WARNING: y"),
    Complaint(meaning="it is tainted", line="WARNING: y"),
)
REASON = "the cell's kernel is not sound: it warned; it is tainted"
LINES = "WARNING: x\nWARNING: y"
WHERE = "see the complete kernel log in the cell's results"
PASSED = trial(NAMES[0])


def test_complaints_alone_are_a_problem() -> None:
    assert with_complaints(COMPLAINTS, None) == Problem(REASON, WHERE, LINES, unexpected=True)


def test_complaints_are_added_to_another_problem() -> None:
    both = with_complaints(COMPLAINTS, Problem("the guest was lost", "look at it", "console"))
    assert both == Problem(f"the guest was lost; {REASON}", "look at it", "console", unexpected=True)
    assert with_complaints(COMPLAINTS, Problem("the guest was lost")).log == LINES


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, records: Sequence[Record], status: int = 0) -> Run:
    return run_in(monkeypatch, folder, place("linux-6.12", frames(records), status=status))


@pytest.mark.parametrize("end", [(footer([PASSED]),), ()])
def test_a_kernel_log_is_written_and_judged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, end: tuple[Record, ...]
) -> None:
    """Also for a lost cell, and when the run is read again."""
    log = KernelLog(lines=("4 1.0 WARNING: x",), complaints=COMPLAINTS)
    made = run(monkeypatch, tmp_path, [header([NAMES[0]]), PASSED, log, *end], status=0 if end else 1)
    kept = reader.read(tmp_path)
    assert REASON in made.outcomes[0].problem.reason
    assert ("the cell ended with status 1" in made.outcomes[0].problem.reason) is (not end)
    assert kept.cells[0].problem == made.outcomes[0].problem
    assert kept.cells[0].reached.kernel_log == log
    assert (status(made.outcomes), status(kept.outcomes)) == (Status.UNEXPECTED, Status.UNEXPECTED)


def test_without_a_header_the_problem_has_the_complaints(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = run(monkeypatch, tmp_path, [KernelLog(lines=("x",), complaints=COMPLAINTS)], status=1)
    assert REASON in made.outcomes[0].problem.reason
    assert not (tmp_path / "linux-6.12.jsonl").exists()


def test_a_log_without_complaints_is_no_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = run(monkeypatch, tmp_path, [header([NAMES[0]]), PASSED, KernelLog(lines=("x",)), footer([PASSED])])
    assert made.outcomes[0].problem is None


def test_the_status_of_the_run_is_unexpected() -> None:
    outcome = CellOutcome(CellName("linux-6.12"), (), 1.0, with_complaints(COMPLAINTS, None))
    assert status([outcome]) is Status.UNEXPECTED


def test_another_problem_alone_is_not_unexpected() -> None:
    outcome = CellOutcome(CellName("linux-6.12"), (), 1.0, Problem("the guest was lost"))
    assert status([outcome]) is Status.COULD_NOT_RUN
