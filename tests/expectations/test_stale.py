"""A rule that is out of date makes a run red; a filtered run says nothing about rules for other scenarios."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from scripted import NAMES, SCENARIOS, frames, place, run_in, trial, whole

from worldswitch.harness.cell_name import CellName
from worldswitch.harness.expectations import conditions, stale
from worldswitch.harness.expectations.judgement import PASSES, Expectation, judge
from worldswitch.harness.expectations.outcome import CellOutcome, Judged, Stale, Status, status
from worldswitch.harness.report import terminal
from worldswitch.harness.report.console import console
from worldswitch.harness.results import reader
from worldswitch.harness.run.runner import Run
from worldswitch.harness.verdict import Verdict

ONE, OTHER, DENIED = NAMES  # the last needs `ptrace_denied`, the others have the same id
KNOWN = {one.name: one for one in SCENARIOS}
NEEDS = {one.name: one.needs for one in SCENARIOS}
TODAY = date(2026, 11, 23)
EXPIRED = f"it expired after {date(2026, 11, 22)}; check whether it still applies, and renew or remove it"


def rule(*scenarios: str, source: str = "x.toml rule 1", needs: str = "", **more: object) -> Expectation:
    verdicts = frozenset({Verdict.PASS, Verdict.FAIL})
    return Expectation(scenarios, verdicts, "so", frozenset(needs.split()), source=source, **more)


def outcome(*rules: Expectation, names: tuple[str, ...] = NAMES, cell: str = "host") -> CellOutcome:
    judged = [Judged(trial(name), judge(name, KNOWN[name].ids, Verdict.PASS, rules)) for name in names]
    return CellOutcome(CellName(cell), tuple(judged), 1.0, None, rules)


def found(*outcomes: CellOutcome, every: bool = True) -> list[Stale]:
    return stale.find(outcomes, NEEDS, every=every, today=TODAY)


@pytest.mark.parametrize("used", [rule(ONE), rule("SG01"), rule("SG*"), rule(needs="ptrace_denied")])
def test_a_rule_that_decides_something_is_not_stale(used: Expectation) -> None:
    assert found(outcome(used)) == []


def test_a_rule_shadowed_by_others_is_stale() -> None:
    first, second = rule("*"), rule(ONE, source="x.toml rule 2")
    assert found(outcome(first, second)) == [Stale("x.toml rule 2", stale.DECIDES_NOTHING)]
    assert found(outcome(first, second), every=False) == []
    both = rule("SG01", "TT01", source="x.toml rule 2")
    assert found(outcome(rule("SG01"), both)) == []


def test_a_rule_may_be_shadowed_by_one_for_ids_or_needs() -> None:
    second = rule(DENIED, source="x.toml rule 2")
    assert found(outcome(rule(needs="ptrace_denied"), second)) == [Stale("x.toml rule 2", stale.DECIDES_NOTHING)]
    second = rule(ONE, source="x.toml rule 2")
    assert found(outcome(rule("SG01"), second)) == [Stale("x.toml rule 2", stale.DECIDES_NOTHING)]


def test_an_unknown_scenario_has_no_needs() -> None:
    judged = Judged(trial("new::one"), judge("new::one", (), Verdict.PASS, ()))
    unknown = CellOutcome(CellName("host"), (judged,), 1.0, None, (rule("new::*", needs="smp"),))
    assert found(unknown) == []


def test_rules_of_another_file_or_with_other_conditions_shadow_no_rule() -> None:
    """They may hold where it does not, or be absent there."""
    when = conditions.parse({"environment": "host"})
    assert found(outcome(rule("*", source="y.toml rule 1"), rule(ONE))) == []
    assert found(outcome(rule("*", when=when), rule(ONE, source="x.toml rule 2"))) == []
    assert found(outcome(rule("*", when=when), rule(ONE, source="x.toml rule 2", when=when))) != []
    assert found(outcome(rule("*"), rule(ONE, source="x.toml rule 2", when=when))) != []


def test_a_rule_that_covers_nothing_is_stale_if_all_was_planned() -> None:
    assert found(outcome(rule("XX99"))) == [Stale("x.toml rule 1", stale.COVERS_NOTHING)]
    assert found(outcome(rule(needs="nothing"))) == [Stale("x.toml rule 1", stale.COVERS_NOTHING)]


def test_a_filtered_run_says_nothing_about_other_scenarios() -> None:
    assert found(outcome(rule(OTHER), names=(ONE,)), every=False) == []
    assert found(outcome(rule(OTHER, expires=date(2020, 1, 1)), names=(ONE,)), every=False) == []


def test_a_run_without_chaos_says_nothing_about_rules_for_chaos() -> None:
    chaos = stale.left_out(chaos=False)
    assert {one.ids[0][:2] for one in chaos} == {"CH"}
    assert stale.left_out(chaos=True) == []
    shown = {"every": True, "left_out": chaos, "today": TODAY}
    assert stale.find([outcome(rule("CH*"))], NEEDS, **shown) == []
    assert stale.find([outcome(rule("XX*"))], NEEDS, **shown) == [Stale("x.toml rule 1", stale.COVERS_NOTHING)]
    needing = replace(chaos[0], needs=("ptrace_denied",))
    one_alone = CellOutcome(CellName("host"), (), 1.0, None, (rule(needs="ptrace_denied"),))
    assert stale.find([one_alone], NEEDS, every=True, left_out=[needing], today=TODAY) == []
    second = rule(ONE, "CH*", source="x.toml rule 2")
    assert stale.find([outcome(rule("SG01"), second)], NEEDS, **shown) == []


def test_a_rule_is_stale_after_its_last_day() -> None:
    assert found(outcome(rule(ONE, expires=TODAY))) == []
    assert found(outcome(rule(ONE, expires=date(2026, 11, 22)))) == [Stale("x.toml rule 1", EXPIRED)]


def test_verdicts_that_no_trial_reached() -> None:
    assert stale.unseen([outcome(rule(ONE))], NEEDS) == {rule(ONE): frozenset({Verdict.FAIL})}
    by_id, by_need = rule("SG01"), rule(needs="ptrace_denied")
    assert set(stale.unseen([outcome(by_id, by_need)], NEEDS)) == {by_id, by_need}
    assert set(stale.unseen([outcome(by_id, by_need, rule("*", source="x.toml rule 3"))], NEEDS)) == {by_id, by_need}
    only = Expectation((ONE,), PASSES, "so", source="a")
    assert stale.unseen([outcome(only, rule(ONE))], NEEDS) == {}


# ------------------------------------------------------------------------------------------------------- in a whole run


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *rules: Expectation, **request: object) -> Run:
    return run_in(monkeypatch, folder, place("docker:a", frames(whole(*map(trial, NAMES))), *rules), **request)


def test_stale_rules_make_a_run_red_and_are_printed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = run(monkeypatch, tmp_path, rule(ONE, expires=date(2020, 1, 1)), rule("XX99", source="x.toml rule 2"))
    assert status(made.outcomes) is Status.AS_EXPECTED
    assert status(made.outcomes, made.stale) is Status.UNEXPECTED
    terminal.summary(made.outcomes, tmp_path, made.request, console(), made.stale)
    printed = capsys.readouterr().out
    assert "unexpected: stale rules\n  x.toml rule 1: it expired after 2020-01-01; " in printed
    assert f"\n  x.toml rule 2: {stale.COVERS_NOTHING}\n" in printed
    assert [one.rule for one in reader.read(tmp_path).manifest.stale] == ["x.toml rule 1", "x.toml rule 2"]


def test_a_filtered_run_is_not_red(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert run(monkeypatch, tmp_path, rule("XX99"), ids=(ONE,)).stale == []


def test_the_deciding_rule_is_written_with_the_judgement(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run(monkeypatch, tmp_path, rule(ONE, evidence=("ptrace(2)",)))
    judgement = reader.read(tmp_path).cells[0].judged[0].judgement
    assert (judgement.rule, judgement.evidence) == ("x.toml rule 1", ("ptrace(2)",))
