"""Each id without a scenario, and each weakness or commit without a mutant, has a listed reason."""

from __future__ import annotations

import pytest

from worldswitch.harness.catalogue import scenarios
from worldswitch.harness.catalogue.mutants import mutants
from worldswitch.harness.report.markdown_table import cell, plain, table
from worldswitch.harness.report.site import mutants as docs_mutants
from worldswitch.harness.report.site import scenarios as docs_scenarios

#: The catalogue: of each family, how many ids there are.
FAMILIES = {"LC": 17, "TT": 15, "SG": 19, "IN": 7, "IJ": 10, "EX": 19, "AS": 15, "FT": 6, "PO": 8, "EV": 10, "K": 76}
IDS = [f"{family}{number:02}" for family, count in FAMILIES.items() for number in range(1, count + 1)]

WRITTEN = {one for scenario in scenarios.scenarios() for one in scenario.ids}
UNWRITTEN = docs_scenarios.unwritten()
MUTATED = docs_mutants.doing(mutants().values())
UNMUTATED = docs_mutants.unmutated()
ORIGINS = {**docs_mutants.weaknesses(), **docs_mutants.history()}


@pytest.mark.parametrize("name", IDS)
def test_every_id_has_a_scenario_or_a_reason(name: str) -> None:
    assert (name in WRITTEN) != (name in UNWRITTEN)


def test_reasons_are_for_ids_of_the_catalogue() -> None:
    assert set(UNWRITTEN) <= set(IDS)


@pytest.mark.parametrize("name", ORIGINS)
def test_every_weakness_and_every_commit_has_a_mutant_or_a_reason(name: str) -> None:
    assert (name in MUTATED) != (name in UNMUTATED)


def test_the_seed_has_28_weaknesses_and_origins_name_no_others() -> None:
    assert list(docs_mutants.weaknesses()) == [f"seed.W{number}" for number in range(1, 29)]
    assert {name for name in MUTATED if name.startswith("seed.")} <= set(ORIGINS)
    assert set(UNMUTATED) <= set(ORIGINS)


def test_table_cells_are_one_line_and_escaped() -> None:
    assert list(table(("a", "b"), [("1 | 2", "x\n  y")])) == ["| a | b |", "| --- | --- |", "| 1 \\| 2 | x y |"]
    assert cell(" a\n\n b ") == "a b"
    assert plain("a_b `c_d` <e>") == "a\\_b `c_d` \\<e>"
