"""A cell runs the selected scenarios, reports them in frames, and exits with 2 if any is missing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cells import DENY_PTRACE, run_cell

from worldswitch.harness.cell.records import Header
from worldswitch.harness.linux import startup
from worldswitch.harness.verdict import Verdict

CLAIMS = ("--scenarios", "claims", "--platform", "fakes:Passes")

#: The verdict of each scenario in the module `corners`.
CORNERS = {
    "it_looks_inside": "unsupported",
    "a_need_is_not_met": "unsupported",
    "a_need_is_unknown": "error",
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
    assert sorted(finished.began) == sorted(f"corners::{name}" for name in CORNERS)  # each is announced


def test_a_failure_prints_claim_assertion_transcript_and_reason() -> None:
    log = run_cell(*CLAIMS[:2], "--platform", "fakes:Answers", "-k", "getpid").log
    for part in (
        "BA01: The guest's system call comes back",
        "fail: AssertionError",
        ">       assert event ==",
        "before the switch",
    ):
        assert part in log


def test_a_late_trial_prints_its_stack() -> None:
    finished = run_cell(*CLAIMS, "-k", "it_sleeps")
    assert "in it_sleeps" in finished.trial.output
    assert "before the sleep" in finished.trial.transcript[-1]
    assert "/pluggy/" not in finished.log


def test_the_seed_of_a_trial_is_the_runs_and_its_own() -> None:
    def draw(*arguments: str) -> tuple[str, int, str]:
        finished = run_cell(*CLAIMS, *arguments)
        trial = next(trial for trial in finished.run.trials if trial.scenario.endswith("it_draws"))
        return trial.transcript[-1].split()[-1], finished.run.header.seed, finished.log

    drawn, seed, log = draw("-k", "corners")
    assert f"--id corners::it_draws --repeat quick --seed {seed}" in log
    for arguments in (("-k", "it_draws"), ("--id", "CO12", "-n", "2")):
        assert draw("--seed", str(seed), *arguments)[:2] == (drawn, seed)
    other, _, _ = draw("--seed", str(seed ^ 1), "--id", "CO12")
    assert other != drawn


def test_repetitions_and_time_scale_are_passed() -> None:
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


def test_scenarios_run_in_the_order_of_the_ids() -> None:
    finished = run_cell(*CLAIMS, "--id", "CO08", "--id", "BA*")
    assert list(finished.verdicts)[:2] == ["it_comes_in_two[1]", "it_comes_in_two[2]"]


def test_the_header_has_environment_platform_and_machine() -> None:
    environment = '{"name": "docker:hardened", "engine": "27.0"}'
    finished = run_cell(*CLAIMS, "--id", "BA01", "--environment", environment)
    header = finished.records[0]
    assert isinstance(header, Header)
    assert header.environment == {"name": "docker:hardened", "engine": "27.0"}
    assert header.planned == ("basics::a_guest_calls_getpid",)
    assert (header.platform, header.mutant, header.repeat) == ("fakes:Passes", None, "quick")
    assert header.fingerprint.probes["memfd"].state == "yes"
    assert header.fingerprint.versions["worldswitch"]


def test_a_denial_of_ptrace_blocks_every_trial() -> None:
    finished = run_cell(*CLAIMS, "--id", "BA*", first=DENY_PTRACE)
    assert [trial.verdict for trial in finished.run.trials] == [Verdict.BLOCKED] * 2
    assert "needs ptrace: PTRACE_SEIZE: EPERM" in finished.run.trials[0].reason
    assert finished.status == 0


def test_a_scenario_about_denial_runs_where_ptrace_is_denied() -> None:
    denied = run_cell(*CLAIMS, "-k", "denial", first=DENY_PTRACE)
    allowed = run_cell(*CLAIMS, "-k", "denial")
    assert (denied.trial.verdict, allowed.trial.verdict) == (Verdict.PASS, Verdict.UNSUPPORTED)


#: Arguments that cannot run, and the messages.
REFUSED = (
    (("--id", "XX*"), "no scenario was selected"),
    (("--scenarios", "nowhere"), "no package nowhere can be imported"),
    (("--environment", "[]"), "--environment: not a JSON object"),
    (("--mutant", "unknown"), "no mutant is called 'unknown'"),
    (("--scenarios", "broken"), r"bad.py could not be collected"),
)


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_a_cell_that_cannot_run_exits_with_2(arguments: tuple[str, ...], message: str) -> None:
    finished = run_cell(*CLAIMS, "-k", "not sleeps", *arguments)
    assert finished.status == 2
    assert message in finished.log


def test_a_module_that_cannot_be_collected_leaves_no_footer() -> None:
    finished = run_cell(*CLAIMS, "--scenarios", "broken")
    assert [type(record).__name__ for record in finished.records] == ["Header", "Trial"]


@pytest.mark.parametrize("workers", ["0", "2"])
def test_modules_without_selected_scenarios_are_not_imported(workers: str) -> None:
    finished = run_cell(*CLAIMS, "--scenarios", "broken", "--id", "good::*", "-n", workers)
    assert (finished.status, set(finished.verdicts.values())) == (0, {"pass"})


def test_an_id_has_every_module_imported() -> None:
    assert run_cell(*CLAIMS, "--scenarios", "broken", "--id", "good::*", "--id", "BA*").status == 2


def test_a_worker_that_dies_leaves_a_miss() -> None:
    finished = run_cell("--scenarios", "fragile", "--platform", "fakes:Passes", "-n", "1", KILL_WORKER="1")
    assert finished.status == 2
    assert finished.misses == ["good::it_is_fine"]


@pytest.mark.parametrize(("workers", "parallel"), [("0", False), ("2", True)])
def test_exclusive_trials_run_alone(tmp_path: Path, workers: str, parallel: bool) -> None:
    diary = tmp_path / "diary"
    finished = run_cell("--scenarios", "shared", "--platform", "fakes:Passes", "-n", workers, DIARY=str(diary))
    assert (finished.status, len(finished.verdicts)) == (0, 9)
    running: set[str] = set()
    met: set[frozenset[str]] = set()
    for line in diary.read_text().splitlines():
        (running.add if line[0] == "+" else running.remove)(line[1:])
        met.add(frozenset(running))
    assert any(len(together) > 1 for together in met) == parallel
    assert [together for together in met if len(together) > 1 and any("alone" in name for name in together)] == []


def test_assertions_cannot_be_removed() -> None:
    finished = run_cell(*CLAIMS, "--id", "BA01", PYTHONOPTIMIZE="1")
    assert finished.status == 2
    assert "python -O removes" in finished.log


def test_the_tests_of_the_folder_it_starts_in_take_no_part(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/conftest.py").write_text("raise RuntimeError('loaded')")
    finished = run_cell(*CLAIMS, "-k", "calls_getpid", first=f"import os; os.chdir({str(tmp_path)!r})")
    assert list(finished.verdicts.values()) == ["pass"], finished.log


def test_a_cell_whose_getpid_is_denied_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal to the pid -1 reaches every process."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: -1)
        problem = startup.problem()
    assert problem.startswith("getpid returns an error: a seccomp filter denies it")


def test_a_defect_of_the_cell_has_a_status_of_its_own() -> None:
    bug = "from worldswitch.harness.cell import __main__ as it\nit.rehearse = lambda _: 1 / 0"
    finished = run_cell(*CLAIMS, "-k", "corners", first=bug)
    assert finished.status == os.EX_SOFTWARE
    assert "cell: could not run: internal error: ZeroDivisionError: division by zero; report" in finished.log
