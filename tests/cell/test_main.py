"""A cell runs what it is asked to, says so on a stream that carries nothing else, and is honest about the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
from cells import DENY_PTRACE, run_cell

from worldswitch.harness.cell.records import Header
from worldswitch.harness.verdict import Verdict

CLAIMS = ("--scenarios", "claims", "--platform", "fakes:Passes")

#: What becomes of each scenario in the module `corners`.
CORNERS = {
    "it_looks_inside": "unsupported",
    "it_needs_what_is_not_there": "unsupported",
    "it_needs_what_nobody_knows": "error",
    "it_skips": "error",
    "it_has_a_bug": "error",
    "it_sleeps": "timeout",
    "it_repeats": "fail",
    "it_comes_in_two[1]": "pass",
    "it_comes_in_two[2]": "pass",
    "it_lacks_a_fixture": "error",
    "it_notes_a_lot": "fail",
    "its_thread_ends_by_an_exception": "pass",
    "it_draws": "fail",
}


@pytest.mark.parametrize("workers", ["0", "2"])
def test_every_corner_gets_its_verdict(workers: str) -> None:
    finished = run_cell(*CLAIMS, "-k", "corners", "-n", workers)
    assert finished.verdicts == CORNERS
    assert (finished.status, finished.noise, finished.left) == (0, (), ())
    assert {trial.worker for trial in finished.run.trials} <= {"main", "gw0", "gw1"}
    assert finished.misses == []
    assert sorted(finished.began) == sorted(f"corners::{name}" for name in CORNERS)  # each is told when it begins


def test_a_failure_prints_claim_assertion_transcript_and_reason() -> None:
    log = run_cell(*CLAIMS[:2], "--platform", "fakes:Answers", "-k", "getpid").log
    for part in (
        "BA01: The guest's system call comes back",
        "fail: AssertionError",
        ">       assert event ==",
        "about to",
    ):
        assert part in log


def test_a_late_trial_says_where_it_stood() -> None:
    finished = run_cell(*CLAIMS, "-k", "it_sleeps")
    assert "in it_sleeps" in finished.trial.output
    assert "so tired" in finished.trial.transcript[-1]
    assert "/pluggy/" not in finished.log


def test_the_seed_of_a_trial_is_the_runs_and_its_own() -> None:
    def told(*arguments: str) -> tuple[str, int, str]:
        finished = run_cell(*CLAIMS, *arguments)
        trial = next(one for one in finished.run.trials if one.scenario.endswith("it_draws"))
        return trial.transcript[-1].split()[-1], finished.run.header.seed, finished.log

    drawn, seed, log = told("-k", "corners")
    assert f"--id corners::it_draws --repeat quick --seed {seed}" in log
    for arguments in (("-k", "it_draws"), ("--id", "CO12", "-n", "2")):
        assert told("--seed", str(seed), *arguments)[:2] == (drawn, seed)
    other, _, _ = told("--seed", str(seed ^ 1), "--id", "CO12")
    assert other != drawn


def test_repetitions_and_time_are_as_asked() -> None:
    trial = run_cell(*CLAIMS, "-k", "it_repeats", "--repeat", "soak", "--time-scale", "10").trial
    assert trial.transcript[-1].endswith("(3, 20.0, 'yes')")


def test_ids_select() -> None:
    finished = run_cell(*CLAIMS, "--id", "BA*", "--id", "CO08")
    assert set(finished.verdicts) == {
        "a_guest_calls_getpid",
        "a_range_that_overflows_is_refused",
        "it_comes_in_two[1]",
        "it_comes_in_two[2]",
    }


def test_what_is_named_first_goes_first() -> None:
    finished = run_cell(*CLAIMS, "--id", "CO08", "--id", "BA*")
    assert list(finished.verdicts)[:2] == ["it_comes_in_two[1]", "it_comes_in_two[2]"]


def test_the_header_says_where_and_on_what() -> None:
    environment = '{"name": "docker:hardened", "engine": "27.0"}'
    finished = run_cell(*CLAIMS, "--id", "BA01", "--environment", environment)
    header = finished.records[0]
    assert isinstance(header, Header)
    assert header.environment == {"name": "docker:hardened", "engine": "27.0"}
    assert header.planned == ("basics::a_guest_calls_getpid",)
    assert (header.platform, header.mutant, header.repeat) == ("fakes:Passes", None, "quick")
    assert header.fingerprint.probes["memfd"].state == "yes"
    assert header.fingerprint.versions["worldswitch"]


def test_where_ptrace_is_denied_everything_is_blocked() -> None:
    finished = run_cell(*CLAIMS, "--id", "BA*", first=DENY_PTRACE)
    assert [trial.verdict for trial in finished.run.trials] == [Verdict.BLOCKED] * 2
    assert "needs ptrace: ptrace request" in finished.run.trials[0].reason
    assert finished.status == 0


def test_a_scenario_about_denial_runs_where_ptrace_is_denied() -> None:
    denied = run_cell(*CLAIMS, "-k", "denial", first=DENY_PTRACE)
    allowed = run_cell(*CLAIMS, "-k", "denial")
    assert (denied.trial.verdict, allowed.trial.verdict) == (Verdict.PASS, Verdict.UNSUPPORTED)


#: What one asks for, and why it cannot be.
REFUSED = (
    (("--id", "XX*"), "no scenario was selected"),
    (("--scenarios", "nowhere"), "no package nowhere can be imported"),
    (("--environment", "[]"), "--environment: not a JSON object"),
    (("--mutant", "nobody"), "no mutant is called 'nobody'"),
    (("--scenarios", "broken"), r"bad.py could not be collected"),
)


@pytest.mark.parametrize(("arguments", "said"), REFUSED)
def test_what_cannot_run_has_status_2(arguments: tuple[str, ...], said: str) -> None:
    finished = run_cell(*CLAIMS, "-k", "not sleeps", *arguments)
    assert finished.status == 2
    assert said in finished.log


def test_a_plan_that_is_not_whole_is_no_result() -> None:
    finished = run_cell(*CLAIMS, "--scenarios", "broken")
    assert [type(record).__name__ for record in finished.records] == ["Header", "Trial"]


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_module_that_nobody_asked_for_is_not_imported(workers: str) -> None:
    finished = run_cell(*CLAIMS, "--scenarios", "broken", "--id", "good::*", "-n", workers)
    assert (finished.status, set(finished.verdicts.values())) == (0, {"pass"})


def test_a_name_that_may_be_of_any_module_has_all_imported() -> None:
    assert run_cell(*CLAIMS, "--scenarios", "broken", "--id", "good::*", "--id", "BA*").status == 2


def test_a_worker_that_dies_leaves_a_miss() -> None:
    finished = run_cell("--scenarios", "fragile", "--platform", "fakes:Passes", "-n", "1", KILL_WORKER="1")
    assert finished.status == 2
    assert finished.misses == ["good::it_is_fine"]


@pytest.mark.parametrize(("workers", "crowded"), [("0", False), ("2", True)])
def test_what_must_be_alone_is(tmp_path: Path, workers: str, crowded: bool) -> None:
    diary = tmp_path / "diary"
    finished = run_cell("--scenarios", "shared", "--platform", "fakes:Passes", "-n", workers, DIARY=str(diary))
    assert (finished.status, len(finished.verdicts)) == (0, 9)
    there: set[str] = set()
    met: set[frozenset[str]] = set()
    for line in diary.read_text().splitlines():
        (there.add if line[0] == "+" else there.remove)(line[1:])
        met.add(frozenset(there))
    assert any(len(together) > 1 for together in met) == crowded
    assert [together for together in met if len(together) > 1 and any("alone" in one for one in together)] == []


def test_assertions_cannot_be_removed() -> None:
    finished = run_cell(*CLAIMS, "--id", "BA01", PYTHONOPTIMIZE="1")
    assert finished.status == 2
    assert "python -O removes" in finished.log


def test_the_tests_of_the_folder_it_starts_in_take_no_part(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/conftest.py").write_text("raise RuntimeError('loaded')")
    finished = run_cell(*CLAIMS, "-k", "calls_getpid", first=f"import os; os.chdir({str(tmp_path)!r})")
    assert list(finished.verdicts.values()) == ["pass"], finished.log
