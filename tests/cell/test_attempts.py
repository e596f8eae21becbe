"""A bound of time that passed on a starved machine is an error and tried again; nothing else is excused."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable

import pytest
from cells import run_cell

from worldswitch.harness.cell import trial
from worldswitch.harness.cell.attempts import ATTEMPTS, VARIABLE, attempt
from worldswitch.harness.cell.starvation import Meter, Starvation
from worldswitch.harness.cell.trial import Result
from worldswitch.harness.verdict import Verdict

PASS = Result(verdict=Verdict.PASS)
LATE = Result(verdict=Verdict.FAIL, reason="OutOfTime: still running after 2 s", assertion=True, out_of_time=True)
TIMEOUT = Result(verdict=Verdict.TIMEOUT, reason="no outcome within 20 s")
WRONG = Result(verdict=Verdict.FAIL, reason="AssertionError: rax is 7", assertion=True)
RAISED = Result(verdict=Verdict.FAIL, reason="the platform raised HostError")
CRASH = Result(verdict=Verdict.CRASH, reason="the trial's process was killed by SIGSEGV")

STARVED, BUSY, UNMEASURED = Starvation(0.4, 0.97, 11.0), Starvation(0.1, 0.97, 1.5), None


class Numbers(Meter):
    """A meter with given numbers."""

    def __init__(self, numbers: Starvation | None) -> None:
        self._numbers = numbers

    def stop(self) -> Starvation | None:
        return self._numbers


def after(results: Iterable[Result], numbers: Starvation | None) -> tuple[Result, int]:
    """The result of a trial whose attempts end so, and how many there were."""
    coming = list(results)
    count = len(coming)
    begun: list[int] = []
    result = attempt(lambda: coming.pop(0), lambda: begun.append(len(coming)), lambda: Numbers(numbers))
    assert begun == list(range(count - 1, len(coming), -1))  # each attempt but the first is announced
    return result, count - len(coming)


@pytest.mark.parametrize("spoilt", [LATE, TIMEOUT])
def test_a_bound_that_passed_on_a_starved_machine_is_tried_again(spoilt: Result) -> None:
    result, attempts = after([spoilt, PASS], STARVED)
    assert (result.verdict, attempts) == (Verdict.PASS, 2)
    assert result.attempts == (f"the machine was starved: {STARVED}; {spoilt.verdict.value}: {spoilt.reason}",)


@pytest.mark.parametrize("spoilt", [LATE, TIMEOUT])
def test_it_is_an_error_if_the_machine_stays_starved(spoilt: Result) -> None:
    result, attempts = after([spoilt] * 10, STARVED)
    assert (result.verdict, result.assertion, attempts) == (Verdict.ERROR, False, ATTEMPTS)
    assert result.reason.startswith("the machine was starved: other processes took 97% of the CPUs' time")
    assert result.reason.endswith(spoilt.reason)
    assert len(result.attempts) == ATTEMPTS - 1


@pytest.mark.parametrize("numbers", [BUSY, UNMEASURED])
@pytest.mark.parametrize("late", [LATE, TIMEOUT])
def test_a_bound_that_passed_on_another_machine_counts(late: Result, numbers: Starvation | None) -> None:
    assert after([late, PASS], numbers) == (late, 1)


@pytest.mark.parametrize("other", [PASS, WRONG, RAISED, CRASH])
def test_what_depends_on_no_time_counts_on_a_starved_machine_too(other: Result) -> None:
    assert after([other, PASS], STARVED) == (other, 1)


def test_a_failure_after_a_starved_attempt_names_that_attempt() -> None:
    result, _ = after([LATE, WRONG], STARVED)
    assert (result.verdict, result.reason, len(result.attempts)) == (Verdict.FAIL, WRONG.reason, 1)


def test_the_time_in_which_a_trials_processes_must_end_is_a_bound_too() -> None:
    def leave(*_: object) -> Result:
        subprocess.Popen(["sleep", "60"], start_new_session=True)
        return PASS

    result, attempts = after([trial.run(leave, 20.0), PASS], STARVED)
    assert (result.verdict, attempts) == (Verdict.PASS, 2)
    assert "left behind: process" in result.attempts[0]


def test_on_request_a_bound_counts_on_a_starved_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "count")
    assert after([LATE, PASS], STARVED) == (LATE, 1)


#: Run before a cell: whatever is measured is starvation.
STARVE = """
from worldswitch.harness.cell import starvation
starvation.Starvation.is_severe = property(lambda self: True)
"""


def test_a_cell_reports_and_announces_each_attempt() -> None:
    asked = ("--scenarios", "claims", "--platform", "fakes:HangsInSwitch", "-k", "a_guest_calls_getpid")
    finished = run_cell(*asked, "--deadline", "1", first=STARVE, **{VARIABLE: ""})
    assert finished.trial.verdict is Verdict.ERROR
    assert finished.trial.reason.endswith("timeout: no outcome within 1 s")
    assert (len(finished.trial.attempts), len(finished.began)) == (ATTEMPTS - 1, ATTEMPTS)
