"""Rules for platforms other than the reference, and platforms shown side by side."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from worldswitch.harness.catalogue import clauses, scenarios
from worldswitch.harness.cell.records import Trial
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.expectations import rules
from worldswitch.harness.expectations.judgement import Expectation, Judgement
from worldswitch.harness.expectations.outcome import CellOutcome, Judged
from worldswitch.harness.report import side_by_side, terminal
from worldswitch.harness.report.console import STYLES, console
from worldswitch.harness.run.request import Request
from worldswitch.harness.verdict import Verdict
from worldswitch.reference.mutants import lifecycle, pool
from worldswitch.reference.mutants._compose import composed
from worldswitch.reference.mutants.seed import WEAKNESSES

SEED = rules.folder() / "seed.toml"
MINE = """
platform = "mine"
about = "x"
expect = [
    { scenarios = ["IN01", "traps::*"], verdicts = ["fail", "crash"], reason = "mine.W1: so" },
    { needs = ["pidns"], verdicts = ["blocked"], reason = "so" },
]
"""


def test_a_platform_without_a_file_has_the_rules_for_all() -> None:
    everywhere = tuple(one for file in rules.packaged() if not file.platform for one in file.expectations)
    assert rules.for_platform("reference", rules.packaged()) == everywhere
    assert rules.for_platform("package.module:Class", rules.packaged()) == everywhere


def test_a_platforms_file_applies_to_it_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.toml").write_text(MINE)
    monkeypatch.setattr(rules, "folder", lambda: tmp_path)
    crashing = frozenset({Verdict.FAIL, Verdict.CRASH})
    crashes = Expectation(("IN01", "traps::*"), crashing, "mine.W1: so", source="mine.toml rule 1")
    blocked = Expectation((), frozenset({Verdict.BLOCKED}), "so", frozenset({"pidns"}), source="mine.toml rule 2")
    assert rules.for_platform("mine", rules.packaged()) == (crashes, blocked)
    assert rules.for_platform("yours", rules.packaged()) == ()
    assert rules.load(tmp_path / "mine.toml").about == "x"


def test_each_rule_of_the_seed_quotes_a_weakness_and_names_existing_scenarios() -> None:
    known = {scenario.name for scenario in scenarios.scenarios()}
    for line in rules.load(SEED).rules:
        weakness, _, text = line.reason.partition(": ")
        assert weakness.removeprefix("seed.") in WEAKNESSES, line.reason
        assert text == clauses.listed()[weakness]
        for name in line.scenarios:
            assert name.partition("[")[0] in known, name


def test_no_scenario_of_the_seed_is_named_twice() -> None:
    names = [name for line in rules.load(SEED).rules for name in line.scenarios]
    assert len(names) == len(set(names))


def test_a_parametrised_scenario_is_covered_by_its_full_name() -> None:
    line = Expectation(("traps::a_trap[hlt]",), frozenset({Verdict.FAIL}), "so")
    assert line.covers("traps::a_trap[hlt]", ())
    assert not line.covers("traps::a_trap[ud2]", ())


def test_composed_mutants_have_all_their_faults() -> None:
    both = composed("Both", "Wrong twice.", (pool.HonoursEndedLeases, lifecycle.WaitsOnlyForTheBusy))
    assert both.address_space_class is not pool.PtracePlatform.address_space_class
    assert issubclass(both.address_space_class, pool.HonoursEndedLeases.address_space_class)
    assert issubclass(both.stub_class, lifecycle.WaitsOnlyForTheBusy.stub_class)


# --------------------------------------------------------------------------------------------------------- side by side


def cell(platform: str, *verdicts: tuple[str, Verdict, str]) -> CellOutcome:
    judged = tuple(
        Judged(
            Trial(scenario=f"signals::{name}", ids=(name.upper(),), verdict=verdict),
            Judgement(verdict is Verdict.PASS or bool(reason), frozenset({verdict}), reason),
        )
        for name, verdict, reason in verdicts
    )
    return CellOutcome(CellName("host", platform), judged, 1.0)


def shown(*outcomes: CellOutcome) -> str:
    out = Console(file=io.StringIO(), width=200)
    for table in side_by_side.tables(outcomes, STYLES):
        out.print(table)
    return out.file.getvalue()  # type: ignore[attr-defined]


def test_only_differences_are_shown_with_their_reason() -> None:
    good = cell("reference", ("a", Verdict.PASS, ""), ("b", Verdict.PASS, ""), ("c", Verdict.PASS, ""))
    bad = cell("seed", ("a", Verdict.PASS, ""), ("b", Verdict.FAIL, "seed.W4: so"), ("c", Verdict.CRASH, ""))
    text = shown(good, bad)
    assert "host: reference and seed differ in 2 of 3 trials" in text
    assert re.search(r"B +signals::b +pass +fail +seed\.W4: so", text)
    assert re.search(r"C +signals::c +pass +crash \(unexpected\)", text)
    assert "signals::a " not in text


def test_one_platform_alone_has_no_table() -> None:
    assert shown(cell("reference", ("a", Verdict.PASS, ""))) == ""


def test_names_are_not_truncated_in_a_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, why = "a_scenario_" * 8, "seed.W4: " + "and so on " * 8
    cells = cell("reference", (name, Verdict.PASS, "")), cell("seed", (name, Verdict.FAIL, why))
    terminal.summary(cells, tmp_path, Request(), console())
    lines = capsys.readouterr().out.splitlines()
    assert any(f"signals::{name}" in line and why.strip() in line for line in lines)
