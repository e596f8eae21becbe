"""The state of a scenario by the mutants that it kills."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from mutilated import ONE, OTHER, bitten
from scripted import SCENARIOS, scenario, trial

from worldswitch.harness.catalogue import reason_lists
from worldswitch.harness.catalogue.loading import NotFound
from worldswitch.harness.catalogue.scenarios import Scenario
from worldswitch.harness.run.mutants import proof
from worldswitch.harness.run.mutants.fates import CellReport, MutantFate
from worldswitch.harness.run.mutants.proof import ProofState
from worldswitch.harness.verdict import Verdict

KILLS = MutantFate("Forgetful", "host", (), kills=(bitten(),))
HAPPENS = MutantFate("Other", "host", (), undeclared=(bitten(),))
AGAIN = MutantFate("Another", "host", (), undeclared=(bitten(),))
ELSEWHERE = MutantFate("Elsewhere", "host", (), kills=(bitten(OTHER),), undeclared=(bitten(OTHER),))
RAISES = MutantFate("Raises", "host", (), undeclared=(trial(ONE, Verdict.FAIL),))
BARE = Scenario(ONE, ("K01",), "", (), (), {}, 1.0, subject="kernel")


def stand(
    by: Sequence[MutantFate] = (), verdict: Verdict = Verdict.PASS, one: Scenario = SCENARIOS[0], excuse: str = ""
) -> proof.Proof:
    reference = CellReport({ONE: trial(ONE, verdict, reason="because")})
    (found,) = proof.examine([one], reference, by, {ONE: excuse} if excuse else {})
    return found


def proven(one: Scenario, standing: ProofState, reason: str, kills: tuple[str, ...] = ()) -> proof.Proof:
    return proof.Proof(one.name, standing, reason, kills, one.ids, one.claim)


LISTED = "unproven.toml lists it, but "
NONE = "it kills no mutant that names it"

#: The arguments of `stand`, the state, and the reason.
TABLE = (
    ({"by": [KILLS]}, ProofState.PROVEN, ""),
    ({}, ProofState.UNPROVEN, NONE),
    ({"by": [HAPPENS]}, ProofState.UNPROVEN, f"{NONE}; it fails on Other"),
    ({"by": [HAPPENS, ELSEWHERE, RAISES, AGAIN]}, ProofState.UNPROVEN, f"{NONE}; it fails on Other, Another"),
    ({"excuse": "nothing can"}, ProofState.EXCUSED, "nothing can"),
    ({"by": [HAPPENS], "excuse": "nothing can"}, ProofState.EXCUSED, "nothing can"),
    ({"by": [KILLS], "excuse": "nothing can"}, ProofState.STALE, f"{LISTED}it kills a mutant"),
    ({"one": BARE}, ProofState.KERNEL, ""),
    ({"one": BARE, "by": [KILLS]}, ProofState.KERNEL, ""),
    ({"one": BARE, "excuse": "nothing can"}, ProofState.STALE, f"{LISTED}it need not kill one"),
    ({"verdict": Verdict.UNSUPPORTED}, ProofState.NOT_HERE, "unsupported: because"),
    ({"verdict": Verdict.BLOCKED}, ProofState.NOT_HERE, "blocked: because"),
    ({"verdict": Verdict.UNSUPPORTED, "excuse": "nothing can"}, ProofState.NOT_HERE, "unsupported: because"),
    ({"verdict": Verdict.FAIL}, ProofState.BROKEN, "the reference itself: fail: because"),
    ({"verdict": Verdict.CRASH, "one": BARE}, ProofState.BROKEN, "the reference itself: crash: because"),
)


@pytest.mark.parametrize(("known", "standing", "reason"), TABLE)
def test_the_state_of_a_scenario(known: dict[str, Any], standing: ProofState, reason: str) -> None:
    kills = ("Forgetful",) if KILLS in known.get("by", []) else ()
    assert stand(**known) == proven(known.get("one", SCENARIOS[0]), standing, reason, kills)


def test_the_states_that_are_wrong() -> None:
    assert {one for one in ProofState if one.is_wrong} == {ProofState.UNPROVEN, ProofState.STALE, ProofState.BROKEN}


def test_a_scenario_that_did_not_run_on_the_reference_is_broken() -> None:
    (found,) = proof.examine([scenario(OTHER, "SG01")], CellReport({}), [KILLS], {})
    assert found == proven(scenario(OTHER, "SG01"), ProofState.BROKEN, "the reference itself: did not run")


@pytest.mark.parametrize(
    ("verdicts", "standing", "reason"),
    [
        ((Verdict.PASS, Verdict.UNSUPPORTED), ProofState.PROVEN, ""),
        ((Verdict.PASS, Verdict.FAIL), ProofState.BROKEN, "the reference itself: fail: so"),
        ((Verdict.FAIL, Verdict.ERROR), ProofState.BROKEN, "the reference itself: error: so"),
        ((Verdict.UNSUPPORTED, Verdict.BLOCKED), ProofState.NOT_HERE, "blocked: so"),
    ],
)
def test_the_state_of_a_parametrised_scenario_follows_all_its_trials(
    verdicts: tuple[Verdict, ...], standing: ProofState, reason: str
) -> None:
    names = [f"{ONE}[{number}]" for number in range(len(verdicts))]
    reference = CellReport(
        {name: trial(name, verdict, reason="so") for name, verdict in zip(names, verdicts, strict=True)}
    )
    kills = MutantFate("Forgetful", "host", (), kills=(bitten(names[0]), bitten(names[1])))
    found = proof.examine(SCENARIOS[:1], reference, [kills], {})
    assert found == [proven(SCENARIOS[0], standing, reason, ("Forgetful",))]


def test_an_unknown_name_in_the_list_is_stale() -> None:
    found = proof.examine([], CellReport({}), [], {"pool::gone": "nothing can"})
    assert found == [proof.Proof("pool::gone", ProofState.STALE, f"{LISTED}there is no such scenario")]


def test_the_list_of_the_reference_can_be_read() -> None:
    assert reason_lists.load("worldswitch.reference.mutants", proof.UNPROVEN) is not None


@pytest.mark.parametrize("text", ['"a" = ""', '"a" = 1', '"a" =', '"a" = "b"\n"a" = "c"'])
def test_a_list_without_reasons_is_rejected(text: str, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "list.toml").write_text(text)
    monkeypatch.setattr(reason_lists.resources, "files", lambda _: tmp_path)
    with pytest.raises(NotFound):
        reason_lists.load("anywhere", "list.toml")
    with pytest.raises(NotFound, match="cannot be read"):
        reason_lists.load("anywhere", "none.toml")
