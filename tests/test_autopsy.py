"""When a mutant counts as caught, and what must never count."""

from __future__ import annotations

import pytest
from scripted import NAMES, SCENARIOS, Scripted, ScriptedCell, frames, planner, trial, whole

from worldswitch.harness import autopsy, catalogue, environment, kill
from worldswitch.harness.autopsy import Account, Fate
from worldswitch.harness.collect import Problem
from worldswitch.harness.outcome import Status
from worldswitch.harness.request import CouldNotRun, Request
from worldswitch.harness.results import Trial
from worldswitch.harness.verdict import Verdict

ONE, OTHER, THIRD = NAMES  # the first two stand under one id, SG01
PASSES = tuple(trial(name) for name in NAMES)


def account(*trials: Trial, problem: str = "") -> Account:
    return Account({one.scenario: one for one in trials}, problem)


def bitten(name: str = ONE) -> Trial:
    return trial(name, Verdict.FAIL, assertion=True, reason="assert 1 == 2")


def fate(caught_by: str, mutated: Account, reference: Account = account(*PASSES)) -> Fate:  # noqa: B008 - frozen
    return autopsy.examine("Forgetful", "host", [caught_by], reference, mutated).fate


@pytest.mark.parametrize("name", ["SG01", ONE, "SG*"])
def test_one_scenario_of_the_name_is_enough(name: str) -> None:
    assert fate(name, account(bitten(), trial(OTHER), trial(THIRD))) is Fate.CAUGHT


@pytest.mark.parametrize(
    ("mutated", "expected"),
    [
        (account(*PASSES), Fate.SURVIVED),
        (account(trial(ONE, Verdict.FAIL), trial(OTHER)), Fate.SURVIVED),  # an error of the platform's, no assertion
        (account(trial(ONE, Verdict.CRASH), trial(OTHER)), Fate.ERROR),
        (account(trial(ONE, Verdict.TIMEOUT), trial(OTHER)), Fate.ERROR),
        (account(trial(ONE, Verdict.ERROR), trial(OTHER)), Fate.ERROR),
        (account(trial(ONE, Verdict.MISS), trial(OTHER)), Fate.ERROR),
        (account(trial(ONE, Verdict.UNSUPPORTED), trial(OTHER)), Fate.ERROR),
        (account(bitten(ONE), trial(OTHER, Verdict.CRASH)), Fate.ERROR),
        (account(bitten(ONE)), Fate.ERROR),  # the other one of that id never ran
        (account(), Fate.ERROR),
        (account(bitten(ONE), bitten(OTHER), problem="the cell died"), Fate.ERROR),
    ],
)
def test_nothing_else_is_a_kill(mutated: Account, expected: Fate) -> None:
    assert fate("SG01", mutated) is expected


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.CRASH, Verdict.TIMEOUT, Verdict.ERROR, Verdict.MISS])
def test_the_reference_must_pass_first(verdict: Verdict) -> None:
    assert fate("SG01", account(bitten(), bitten(OTHER)), account(trial(ONE, verdict), trial(OTHER))) is Fate.ERROR


def test_the_reference_must_have_run() -> None:
    assert fate("SG01", account(bitten(), bitten(OTHER)), account(trial(THIRD))) is Fate.ERROR
    assert fate("SG01", account(bitten()), account(*PASSES, problem="the cell died")) is Fate.ERROR


def test_what_the_reference_cannot_be_put_to_here_is_untested() -> None:
    reference = account(trial(ONE, Verdict.UNSUPPORTED), trial(OTHER, Verdict.BLOCKED))
    assert fate("SG01", account(bitten()), reference) is Fate.UNTESTED


def test_the_worst_name_decides() -> None:
    made = autopsy.examine("Forgetful", "host", ["SG01", "TT01"], account(*PASSES), account(bitten(), *PASSES[1:]))
    assert [finding.fate for finding in made.findings] == [Fate.CAUGHT, Fate.SURVIVED]
    assert made.fate is Fate.SURVIVED


def test_a_mutant_that_names_nothing_is_an_error() -> None:
    assert autopsy.examine("Forgetful", "host", [], account(*PASSES), account(bitten())).fate is Fate.ERROR


def test_failures_that_are_not_named_are_reported() -> None:
    made = autopsy.examine(
        "Forgetful", "host", ["SG01"], account(*PASSES), account(bitten(), trial(OTHER), bitten(THIRD))
    )
    assert made.undeclared == (THIRD,)


def test_a_cell_that_ran_something_else_does_not_count() -> None:
    assert autopsy.account(whole(*PASSES, mutant="Other"), "Forgetful", None).problem
    assert autopsy.account(whole(*PASSES), "Forgetful", None).problem
    assert not autopsy.account(whole(*PASSES, mutant="Forgetful"), "Forgetful", None).problem
    assert autopsy.account(whole(*PASSES), "", Problem("the cell died")).problem == "the cell died"


@pytest.mark.parametrize(
    ("fates", "status"),
    [
        ([Fate.CAUGHT, Fate.CAUGHT], Status.AS_EXPECTED),
        ([Fate.CAUGHT, Fate.UNTESTED], Status.AS_EXPECTED),
        ([Fate.CAUGHT, Fate.SURVIVED, Fate.ERROR], Status.UNEXPECTED),
        ([Fate.CAUGHT, Fate.ERROR], Status.COULD_NOT_RUN),
        ([Fate.UNTESTED], Status.COULD_NOT_RUN),
        ([], Status.COULD_NOT_RUN),
    ],
)
def test_the_exit_status(fates: list[Fate], status: Status) -> None:
    autopsies = [autopsy.Autopsy("Forgetful", "host", (autopsy.Finding("SG01", one, ""),)) for one in fates]
    assert autopsy.status(autopsies) is status
    assert sum(map(int, str(autopsy.tally(autopsies)).split()[::2])) == len(fates)


# ------------------------------------------------------------------------------------------------------ the whole hunt


class Forgetful:
    name = "Forgetful"
    about = "Forgets."
    caught_by = ("SG01",)
    factory = None
    module = "nowhere"


class Harmless(Forgetful):
    name = "Harmless"


def _script(arguments: object) -> ScriptedCell:
    """The reference passes; Forgetful is bitten, Harmless is not."""
    words = list(arguments)  # type: ignore[call-overload]
    mutant = words[words.index("--mutant") + 1] if "--mutant" in words else None
    first = bitten() if mutant == "Forgetful" else trial(ONE)
    return ScriptedCell(frames(whole(first, trial(OTHER), mutant=mutant)))


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    scripted = Scripted("host", _script)
    monkeypatch.setattr(environment, "plan", planner(scripted))
    monkeypatch.setattr(catalogue, "scenarios", lambda: list(SCENARIOS))
    monkeypatch.setattr(catalogue, "mutants", lambda *_: {one.name: one for one in (Forgetful, Harmless)})
    return scripted


def test_a_hunt_ends_with_its_table_and_numbers(host: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    assert kill.show(Request(), [], widely=False) is Status.UNEXPECTED
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == "1 passed, 1 failed, 0 skipped"
    assert "survived  Harmless in host" in printed
    assert len(host.cells) == 3  # the reference once, and each mutant


def test_one_mutant_can_be_named(host: Scripted) -> None:
    assert kill.show(Request(), ["Forgetful"], widely=True) is Status.AS_EXPECTED
    assert len(host.cells) == 2


def test_a_mutant_nobody_knows_is_refused(host: Scripted) -> None:
    with pytest.raises(CouldNotRun, match="no mutant is called 'Nobody'"):
        kill.show(Request(), ["Nobody"], widely=False)


def test_a_mutant_that_names_no_scenario_is_refused(host: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Harmless, "caught_by", ("XX99",))
    with pytest.raises(CouldNotRun, match="XX99"):
        kill.show(Request(), [], widely=False)


def test_no_mutants_at_all_is_no_success(host: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "mutants", lambda *_: {})
    with pytest.raises(CouldNotRun, match="no mutants"):
        kill.show(Request(), [], widely=False)
