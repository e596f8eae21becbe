"""Excuses of verdicts, by the cell's own probes."""

from __future__ import annotations

import os

import pytest
from scripted import SCENARIOS, header

from worldswitch.harness.cell.probes import table
from worldswitch.harness.cell.records import ProbeResult
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.expectations import excuses
from worldswitch.harness.expectations.excuses import FORBIDDEN, LACKING, OPTIONAL, HostAbilities, excuse
from worldswitch.harness.linux.uname import kernel
from worldswitch.harness.verdict import Verdict

HOST, MINE, DOCKER = CellName("host"), CellName("host", "a:Mine"), CellName("docker:a")
NOWHERE = HostAbilities()
HERE = HostAbilities("Linux", frozenset({"smp"}))  #: meets the need, and has the kernel of the headers
USER = HostAbilities(is_root=False)

#: The verdict, the state of the probe that is needed, the cell, the machine, and the excuse.
CASES = [
    (Verdict.UNSUPPORTED, "no", HOST, NOWHERE, LACKING),
    (Verdict.UNSUPPORTED, "no", DOCKER, NOWHERE, LACKING),
    (Verdict.UNSUPPORTED, "no", DOCKER, HERE, ""),  # so its profile removed it
    (Verdict.UNSUPPORTED, "denied", HOST, NOWHERE, ""),
    (Verdict.UNSUPPORTED, "yes", HOST, NOWHERE, ""),
    (Verdict.UNSUPPORTED, "yes", MINE, NOWHERE, OPTIONAL),
    (Verdict.UNSUPPORTED, "denied", MINE, NOWHERE, ""),
    (Verdict.BLOCKED, "denied", HOST, USER, FORBIDDEN),
    (Verdict.BLOCKED, "denied", HOST, NOWHERE, ""),
    (Verdict.BLOCKED, "denied", DOCKER, USER, ""),
    (Verdict.BLOCKED, "no", HOST, USER, ""),
    (Verdict.FAIL, "no", MINE, USER, ""),
    (Verdict.PASS, "no", MINE, USER, ""),
]


@pytest.mark.parametrize(("verdict", "state", "cell", "machine", "why"), CASES)
def test_an_excuse(verdict: Verdict, state: str, cell: CellName, machine: HostAbilities, why: str) -> None:
    assert excuse(verdict, ("smp",), cell, header(smp=state), machine) == why


def test_one_unmet_need_is_enough() -> None:
    found = header(smp="yes", yama="no")
    assert excuse(Verdict.UNSUPPORTED, ("smp", "yama"), DOCKER, found, HERE) == LACKING
    assert excuse(Verdict.UNSUPPORTED, (), HOST, found, NOWHERE) == ""


@pytest.mark.parametrize("user", [0, 1000])
def test_this_machine_meets_the_needs_whose_probes_say_yes(monkeypatch: pytest.MonkeyPatch, user: int) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    for state, has in (("yes", frozenset({"ptrace_denied"})), ("no", frozenset()), ("denied", frozenset())):
        monkeypatch.setattr(table, "probe", lambda name, state=state: ProbeResult(state, ""))
        assert excuses.host_abilities(SCENARIOS) == HostAbilities(kernel(), has, user == 0)
