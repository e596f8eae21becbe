"""Platforms, scenarios and mutants are found by name; an error says what was tried and what exists."""

from __future__ import annotations

from types import SimpleNamespace

import fakes
import pytest

from worldswitch.harness.catalogue import scenarios
from worldswitch.harness.catalogue.loading import NotFound
from worldswitch.harness.catalogue.mutants import load_mutant, mutants
from worldswitch.harness.catalogue.platforms import load_platform, platforms


def test_a_platform_by_module_and_attribute() -> None:
    assert load_platform("fakes:Passes") is fakes.Passes
    assert load_platform("fakes:Passes.context") is fakes.Context


def test_a_platform_by_its_entry_point() -> None:
    assert "reference" in platforms()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nobody", "no platform is called 'nobody'.*worldswitch.platforms.*reference.*package.module:Class"),
        ("", "no platform is called ''"),
        ("fakes:", "no platform is called 'fakes:'"),
        ("no_such_module:X", "importing no_such_module raised ModuleNotFoundError.*PYTHONPATH"),
        ("imports.raises:X", "importing imports.raises raised RuntimeError: not today"),
        ("fakes:Nobody", "the module fakes has no Nobody"),
        ("fakes:not_callable", "is of type int, expected a class or function"),
    ],
)
def test_no_platform(name: str, message: str) -> None:
    with pytest.raises(NotFound, match=message):
        load_platform(name)


def test_scenarios_are_in_source_order() -> None:
    found = scenarios.scenarios("claims")
    assert [scenario.name for scenario in found][:4] == [
        "basics::a_guest_calls_getpid",
        "basics::a_range_that_overflows_is_refused",
        "basics::a_denial_of_ptrace_is_looked_for",
        "corners::it_looks_inside",
    ]
    assert not any("not_a_scenario" in scenario.name for scenario in found)
    first = found[0]
    assert (first.ids, first.clauses, first.needs, first.repeat["soak"]) == (("BA01",), ("test",), (), 3)
    assert first.claim == "The guest's system call comes back with its number."


def test_a_scenario_is_called_by_its_ids_its_name_and_patterns() -> None:
    first, *_ = scenarios.scenarios("claims")
    assert all(map(first.is_called, ("BA01", "BA*", "basics::a_guest_calls_getpid", "basics::*")))
    assert not any(map(first.is_called, ("BA02", "basics", "a_guest_calls_getpid", "")))
    assert first.family == "basics"


def test_a_missing_package_of_scenarios() -> None:
    with pytest.raises(NotFound, match="importing nowhere raised ModuleNotFoundError"):
        scenarios.scenarios("nowhere")


def test_the_modules_list_the_mutants(monkeypatch: pytest.MonkeyPatch) -> None:
    mutant = SimpleNamespace(name="deaf", module="fakes", factory=fakes.Answers)
    monkeypatch.setattr(fakes, "MUTANTS", {"deaf": mutant}, raising=False)
    assert mutants("fakes") == {"deaf": mutant}
    assert load_mutant("deaf", "fakes") is mutant
    with pytest.raises(NotFound, match="no mutant is called 'blind' in fakes; `worldswitch list mutants` shows all 1"):
        load_mutant("blind", "fakes")


def test_the_scenarios_of_the_project_are_listed() -> None:
    found = scenarios.scenarios()
    assert found
    assert all(scenario.ids and scenario.claim and scenario.clauses for scenario in found)
