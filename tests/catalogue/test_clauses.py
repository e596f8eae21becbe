"""Scenarios cite only clauses that are listed or name their source."""

from __future__ import annotations

import pytest

from worldswitch.harness.catalogue import clauses, scenarios

KNOWN = clauses.listed()
SCENARIOS = scenarios.scenarios()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario.name for scenario in SCENARIOS])
def test_every_cited_clause_is_citable(scenario: scenarios.Scenario) -> None:
    assert [clause for clause in scenario.clauses if not clauses.is_citable(clause, KNOWN)] == []


@pytest.mark.parametrize(
    "clause",
    [
        *("seed.wait", 'ptrace(2) "Group-stop"', "gvisor d844c7bbb", "linux 93e35efb8de4", "gvisor#1333", "prctl(2)"),
        *("prctl(2) PR_SET_PDEATHSIG", "wait(2) __WALL", 'signal(7) "Signal dispositions"', "contract Context.switch"),
    ],
)
def test_a_citable_clause(clause: str) -> None:
    assert clauses.is_citable(clause, KNOWN)


@pytest.mark.parametrize(
    "clause",
    ["seed.wiat", "seed.W99", "ptrace(2) Group-stop", 'ptrace(2) "Groupstop"', "TT01", "gvisor", "", "ptrace(9)"],
)
def test_a_clause_that_is_not_citable(clause: str) -> None:
    assert not clauses.is_citable(clause, KNOWN)


def test_uncited_clauses_are_found() -> None:
    assert set(clauses.uncited([])) == set(KNOWN)
    assert not {clause for scenario in SCENARIOS for clause in scenario.clauses} & set(clauses.uncited(SCENARIOS))
