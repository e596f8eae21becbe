"""Missing probes are grouped by the one thing that provides them."""

from __future__ import annotations

import pytest

from worldswitch.harness.cell.probes import remedies, table
from worldswitch.harness.cell.records import ProbeResult
from worldswitch.harness.environments.profiles import profile
from worldswitch.harness.report.doctor import lacking
from worldswitch.harness.report.doctor.findings import Remedy


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch):
    """Return the groups on a machine where these probes fail with these words."""

    def found(**failed: str) -> tuple[Remedy, ...]:
        monkeypatch.setattr(
            table, "probe", lambda name: ProbeResult("denied" if name in failed else "yes", failed.get(name, ""))
        )
        return lacking.groups()

    return found


def test_probes_with_one_remedy_are_one_group_and_those_without_one_are_last(groups) -> None:
    found = groups(pku="no ospke", yama="none", yama_settable="none")
    assert [[lack.probe for lack in group.provides] for group in found] == [["yama", "yama_settable"], ["pku"]]
    assert [bool(group.do) for group in found] == [True, False]


def test_nothing_missing_is_no_group(groups) -> None:
    assert groups() == ()


def test_a_probe_names_the_scenarios_that_need_it(groups) -> None:
    (group,) = groups(yama="none")
    assert group.provides[0].scenarios == ("EV01",)


def test_the_remedy_that_a_probe_found_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    found = ProbeResult("denied", "ENOSPC", "sysctl user.max_user_namespaces=10000")
    monkeypatch.setattr(table, "probe", lambda name: found if name == "pidns" else ProbeResult("yes", ""))
    assert [group.do for group in lacking.groups()] == ["sysctl user.max_user_namespaces=10000"]


def test_root_is_a_remedy_for_what_a_policy_forbids(groups) -> None:
    (group,) = groups(pidns="Operation not permitted")
    assert "sudo" in group.do


def test_root_is_no_remedy_for_what_the_kernel_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "probe", lambda name: ProbeResult("no" if name == "memcg" else "yes", "not mounted"))
    assert [group.do for group in lacking.groups()] == [""]


def test_each_remedy_is_for_a_probe_and_names_a_profile_that_is_there() -> None:
    assert remedies.REMEDIES.keys() <= table.PROBES.keys()
    words = [words for do in remedies.REMEDIES.values() if "--profile " in do for words in [do.split("--profile ")[1]]]
    assert words
    assert set(words) <= profile.available().keys()
