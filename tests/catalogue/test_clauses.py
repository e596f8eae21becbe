"""What scenarios cite is there to be cited."""

from __future__ import annotations

import pytest

from worldswitch.harness.catalogue import clauses, scenarios

KNOWN = clauses.listed()
SCENARIOS = scenarios.scenarios()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario.name for scenario in SCENARIOS])
def test_every_clause_a_scenario_cites_is_one(scenario: scenarios.Scenario) -> None:
    assert [clause for clause in scenario.clauses if not clauses.is_citable(clause, KNOWN)] == []


@pytest.mark.parametrize(
    "clause",
    [
        *("seed.wait", 'ptrace(2) "Group-stop"', "gvisor d844c7bbb", "linux 93e35efb8de4", "gvisor#1333", "prctl(2)"),
        *("prctl(2) PR_SET_PDEATHSIG", "wait(2) __WALL", 'signal(7) "Signal dispositions"', "contract Context.switch"),
    ],
)
def test_what_may_be_cited(clause: str) -> None:
    assert clauses.is_citable(clause, KNOWN)


@pytest.mark.parametrize(
    "clause",
    ["seed.wiat", "seed.W99", "ptrace(2) Group-stop", 'ptrace(2) "Groupstop"', "TT01", "gvisor", "", "ptrace(9)"],
)
def test_what_may_not(clause: str) -> None:
    assert not clauses.is_citable(clause, KNOWN)


def test_what_nobody_cites_is_found() -> None:
    assert set(clauses.uncited([])) == set(KNOWN)
    assert not {clause for one in SCENARIOS for clause in one.clauses} & set(clauses.uncited(SCENARIOS))
