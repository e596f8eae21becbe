"""A cell's forecast: made from its profile's filter and its runtime, and only where both are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from worldswitch.harness.catalogue import scenarios as catalogue
from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.environments.profiles.profile import Profile
from worldswitch.harness.environments.protocol import Cell, Lane
from worldswitch.harness.environments.simulation import record
from worldswitch.harness.run import forecast
from worldswitch.harness.verdict import Verdict

SCENARIOS = catalogue.scenarios()


@dataclass
class Place:
    """An environment that starts nothing."""

    profile: Profile | None
    facts: Mapping[str, str] = field(default_factory=lambda: {"engine": "runc 1.1.5"})
    name: str = "oci:x"
    lane: Lane | None = None

    def start(self, arguments: object) -> Cell:
        raise AssertionError(arguments)


def shipped(name: str) -> Place:
    return Place(profiles.load(profiles.available()[name]))


def own(tmp_path: Path, text: str) -> Place:
    (tmp_path / "mine.json").write_text(text)
    (tmp_path / "mine.toml").write_text('name = "mine"\nabout = "x"\ncapabilities = "default"\nseccomp = "mine.json"\n')
    return Place(profiles.load(tmp_path / "mine.toml"))


def test_a_profile_that_denies_ptrace_blocks() -> None:
    found = forecast.of(shipped("no-ptrace"), SCENARIOS)
    assert found
    assert found.start == ""
    assert found.of("no::such") == ("pass", "")
    blocked = [name for name, (verdict, _) in found.verdicts.items() if verdict == "blocked"]
    assert len(blocked) > len(SCENARIOS) * 0.9


def test_a_profile_without_a_filter_has_none() -> None:
    assert forecast.of(shipped("unconfined"), SCENARIOS) is None
    assert forecast.of(Place(None), SCENARIOS) is None


def test_an_architecture_without_a_record_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "load", lambda: None)
    assert forecast.of(shipped("no-ptrace"), SCENARIOS) is None


@pytest.mark.parametrize(
    "text",
    [
        '{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["execve"], "action": "SCMP_ACT_KILL"}]}',
        # libseccomp refuses two answers for the same bits of an argument.
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": ['
        '{"names": ["x", "kcmp"], "action": "SCMP_ACT_ERRNO", "args": ['
        '{"index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": 1, "valueTwo": 1}]},'
        '{"names": ["kcmp"], "action": "SCMP_ACT_KILL", "args": ['
        '{"index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": 1, "valueTwo": 3}]}]}',
    ],
)
def test_a_filter_under_which_nothing_starts_is_told(tmp_path: Path, text: str) -> None:
    found = forecast.of(own(tmp_path, text), SCENARIOS)
    assert found
    assert found.start.startswith("no container starts: ")
    assert {verdict for verdict, _ in found.verdicts.values()} == {Verdict.MISS.value}
    assert len(found.verdicts) == len(SCENARIOS)


def test_the_default_of_another_engine_is_not_known() -> None:
    place = shipped("docker-default")
    assert forecast.is_known("default", {"engine": "runc 1.1.5"})
    assert forecast.is_known("default", {"engine": "docker 20.10.24+dfsg1"})
    assert not forecast.is_known("default", {"engine": "docker 28.1.0"})
    assert forecast.is_known("mine.json", {"engine": "docker 28.1.0"})
    place.facts = {"engine": "docker 28.1.0"}
    assert forecast.of(place, SCENARIOS) is None


def test_engines_use_runc() -> None:
    assert forecast.runtime_of({"engine": "docker 28.1.0"}) == "runc"
    assert forecast.runtime_of({"engine": "crun 1.8.1"}) == "crun"
