"""When a scenario counts as proven, and what is wrong with it otherwise."""

from __future__ import annotations

import pytest
from mutilated import ONE, OTHER, bitten
from scripted import SCENARIOS, scenario, trial

from worldswitch.harness import proof, reasons
from worldswitch.harness.autopsy import Account, Autopsy
from worldswitch.harness.catalogue import NotFound, Scenario
from worldswitch.harness.proof import Standing
from worldswitch.harness.verdict import Verdict

KILLS = Autopsy("Forgetful", "host", (), kills=(bitten(),))
HAPPENS = Autopsy("Other", "host", (), undeclared=(bitten(),))
BARE = Scenario(ONE, ("K01",), "", (), (), {}, 1.0, subject="kernel")


def stand(
    *autopsies: Autopsy, verdict: Verdict = Verdict.PASS, one: Scenario = SCENARIOS[0], excuse: str = ""
) -> proof.Proof:
    reference = Account({ONE: trial(ONE, verdict, reason="because")})
    (found,) = proof.examine([one], reference, autopsies, {ONE: excuse} if excuse else {})
    return found


@pytest.mark.parametrize(
    ("found", "standing"),
    [
        (stand(KILLS), Standing.PROVEN),
        (stand(), Standing.UNPROVEN),
        (stand(HAPPENS), Standing.UNPROVEN),
        (stand(excuse="nothing can"), Standing.EXCUSED),
        (stand(HAPPENS, excuse="nothing can"), Standing.EXCUSED),
        (stand(KILLS, excuse="nothing can"), Standing.STALE),
        (stand(one=BARE), Standing.KERNEL),
        (stand(one=BARE, excuse="nothing can"), Standing.STALE),
        (stand(verdict=Verdict.UNSUPPORTED), Standing.NOT_HERE),
        (stand(verdict=Verdict.BLOCKED), Standing.NOT_HERE),
        (stand(verdict=Verdict.UNSUPPORTED, excuse="nothing can"), Standing.NOT_HERE),
        (stand(verdict=Verdict.FAIL), Standing.BROKEN),
        (stand(verdict=Verdict.CRASH, one=BARE), Standing.BROKEN),
    ],
)
def test_where_a_scenario_stands(found: proof.Proof, standing: Standing) -> None:
    assert found.standing is standing
    assert found.standing.is_wrong == (standing in (Standing.UNPROVEN, Standing.STALE, Standing.BROKEN))


def test_it_is_told_who_kills_and_why_not() -> None:
    assert stand(KILLS).mutants == ("Forgetful",)
    assert stand(excuse="nothing can").reason == "nothing can"
    assert "fails on Other" in stand(HAPPENS).reason
    assert stand(verdict=Verdict.UNSUPPORTED).reason == "unsupported: because"


def test_a_scenario_the_reference_never_met_is_broken() -> None:
    (found,) = proof.examine([scenario(OTHER, "SG01")], Account({}), [KILLS], {})
    assert found.standing is Standing.BROKEN


@pytest.mark.parametrize(
    ("verdicts", "standing"),
    [
        ((Verdict.PASS, Verdict.UNSUPPORTED), Standing.PROVEN),
        ((Verdict.PASS, Verdict.FAIL), Standing.BROKEN),
        ((Verdict.BLOCKED, Verdict.BLOCKED), Standing.NOT_HERE),
    ],
)
def test_a_function_of_several_trials_stands_by_all_of_them(verdicts: tuple[Verdict, ...], standing: Standing) -> None:
    names = [f"{ONE}[{number}]" for number in range(len(verdicts))]
    reference = Account({name: trial(name, verdict) for name, verdict in zip(names, verdicts, strict=True)})
    kills = Autopsy("Forgetful", "host", (), kills=(bitten(names[0]), bitten(names[1])))
    (found,) = proof.examine(SCENARIOS[:1], reference, [kills], {})
    assert (found.standing, found.mutants) == (standing, ("Forgetful",))


def test_a_list_of_what_is_not_there_is_stale() -> None:
    found = proof.examine([], Account({}), [], {"pool::gone": "nothing can"})
    assert [(one.scenario, one.standing) for one in found] == [("pool::gone", Standing.STALE)]


def test_the_project_s_own_list_can_be_read() -> None:
    assert reasons.load("worldswitch.reference.mutants", proof.UNPROVEN) is not None


@pytest.mark.parametrize("text", ['"a" = ""', '"a" = 1', '"a" =', '"a" = "b"\n"a" = "c"'])
def test_a_list_without_reasons_is_refused(text: str, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "list.toml").write_text(text)
    monkeypatch.setattr(reasons.resources, "files", lambda _: tmp_path)
    with pytest.raises(NotFound):
        reasons.load("anywhere", "list.toml")
    with pytest.raises(NotFound, match="cannot be read"):
        reasons.load("anywhere", "none.toml")
