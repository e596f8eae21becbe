"""`worldswitch list`: the kinds with their numbers, and the names of one kind, selected."""

from __future__ import annotations

import json

import pytest

from worldswitch.harness.catalogue import scenarios as catalogue
from worldswitch.harness.catalogue.mutants import mutants
from worldswitch.harness.cli import main
from worldswitch.harness.report.listing import KINDS


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main.main(["list", *arguments]) == 0
    return capsys.readouterr().out


def test_the_bare_list_has_each_kind_with_its_number(capsys: pytest.CaptureFixture[str]) -> None:
    lines = listed(capsys).splitlines()
    numbers = {line.split()[0]: line.split()[1] for line in lines[:6]}
    assert numbers.keys() == {"scenarios", *KINDS}
    assert numbers["scenarios"] == str(len(catalogue.scenarios()))
    assert numbers["mutants"] == str(len(mutants()))
    assert len(lines) < 12


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_has_a_line_for_each_name(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    names = json.loads(listed(capsys, kind, "--json"))
    assert list(names) == [kind]
    assert [line.split()[0] for line in listed(capsys, kind).splitlines()] == list(names[kind])


def test_a_word_selects_by_name_and_by_description(capsys: pytest.CaptureFixture[str]) -> None:
    assert next(iter(json.loads(listed(capsys, "kernels", "-k", "6.1 and not 6.12", "--json"))["kernels"])) == "6.1"
    found = json.loads(listed(capsys, "mutants", "-k", "vsyscall", "--json"))["mutants"]
    assert found
    assert all("vsyscall" in f"{name} {mutant}".lower() for name, mutant in found.items())


def test_scenarios_are_counted_apart_from_their_trials(capsys: pytest.CaptureFixture[str]) -> None:
    text = listed(capsys, "scenarios", "-k", "a_call_between_the_vsyscalls")
    assert "a call between the vsyscalls is a fault there (4 trials)" in text
    assert text.splitlines()[-1] == "1 scenario, 4 trials in a cell"


def test_a_selection_of_scenarios_needs_no_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(capsys, "--id", "KD3") == listed(capsys, "scenarios", "--id", "KD3")
    assert list(json.loads(listed(capsys, "--id", "KD3", "--json"))) == ["scenarios"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["platforms", "-k", "zz"], "-k 'zz' matches none of 2 platforms"),
        (["probes", "--id", "KD3"], "--id selects scenarios, not probes"),
        (["mutants", "-k", "("], "-k '(' is not a keyword expression"),
        (["--id", "KD33"], "no scenario has the id KD33 (did you mean KD3"),
    ],
)
def test_a_wrong_selection_is_refused(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["list", *arguments]) == 2
    assert words in capsys.readouterr().err
