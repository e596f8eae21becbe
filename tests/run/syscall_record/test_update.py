"""The record is written a line a part; what several recordings saw is merged; effects are added by scenario."""

from __future__ import annotations

import os

import msgspec
import pytest

from worldswitch.harness.environments.simulation import record
from worldswitch.harness.environments.simulation.record import Part, Record
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.run.syscall_record import update
from worldswitch.harness.run.syscall_record.parts import PartCalls

RECORDS = sorted(record.FOLDER.glob("*.json"))


@pytest.mark.parametrize("path", RECORDS, ids=[path.stem for path in RECORDS])
def test_the_shipped_records_are_as_the_command_writes_them(path: object) -> None:
    written = (record.FOLDER / str(path)).read_text()
    whole = msgspec.json.decode(written, type=Record)
    assert update.text(whole) == written
    assert {"runc"} <= set(whole.starts)
    assert whole.starts["runc"].effects["execve"].keys() == set(record.ANSWERS)
    assert whole.probes["ptrace"].outcome == "yes"


def test_calls_around_every_trial_are_left_out() -> None:
    noted = PartCalls()
    noted.found = {"a::b": {"read": None, "kcmp": None}, "end": {"write": None}}
    assert update._trials(noted, ["read"]) == {"a::b": Part(("kcmp",))}


def test_ranges_are_merged() -> None:
    one, other = PartCalls(), PartCalls()
    one.ranges, other.ranges = {"kill": [[3, 9]]}, {"kill": [[5, 20]], "read": [[0, 1]]}
    assert update._merged(one, other) == {"kill": [[3, 20]], "read": [[0, 1]]}


def test_an_effect_is_added_to_those_of_other_answers() -> None:
    part = Part(("kcmp",), "", {"kcmp": {"EPERM": "fail"}})
    assert update._adding(part, "kcmp", "ENOSYS", "").effects == {"kcmp": {"EPERM": "fail", "ENOSYS": ""}}
    assert update._adding(part, "kcmp", "ENOSYS", None) is part


def test_an_ordinary_user_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CouldNotRun, match="need root"):
        update.update(lambda _: None)
