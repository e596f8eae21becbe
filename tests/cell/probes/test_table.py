"""A probe finds an ability present, absent or denied, and a crash or hang in it is a result."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from cells import DENY_PTRACE

from worldswitch.harness.cell.probes import Absent, cgroups, requests, stub_calls, table, trying
from worldswitch.harness.cell.supervisor import supervise
from worldswitch.harness.linux import cgroups as control_groups
from worldswitch.harness.linux import ptrace


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    table.forget()
    yield monkeypatch
    table.forget()


@pytest.mark.parametrize("name", table.PROBES)
def test_every_probe_answers(name: str) -> None:
    found = table.probe(name)
    assert found.state in ("yes", "no", "denied")
    assert found.detail


def test_uncapped_ptrace_runs_without_capabilities(fresh: pytest.MonkeyPatch) -> None:
    def show(*_: object) -> None:
        raise Absent(re.findall("Cap(?:Prm|Eff):\t(.*)", Path("/proc/thread-self/status").read_text()))

    fresh.setattr(requests, "seize", show)
    assert table.probe("uncapped_ptrace").detail == str(["0" * 16] * 2)


def test_an_unknown_probe_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        table.probe("perpetual_motion")


def _raise(error: Exception) -> str:
    raise error


#: The body of a probe, and the state and detail of its result.
OUTCOMES = (
    (lambda: "here it is", "yes", "here it is"),
    (lambda: _raise(Absent("not here")), "no", "not here"),
    (lambda: _raise(OSError(1, "text of EPERM")), "denied", "text of EPERM"),
    (lambda: _raise(OSError(13, "text of EACCES")), "denied", "text of EACCES"),
    (lambda: _raise(OSError(38, "text of ENOSYS")), "no", "text of ENOSYS"),
    (lambda: os.kill(os.getpid(), signal.SIGSYS), "denied", "killed by signal 31"),
    (lambda: ctypes.string_at(0), "no", "killed by signal 11"),
    (lambda: time.sleep(60), "no", "no answer within 0.2 s"),
    (lambda: _raise(ZeroDivisionError()), "no", "ended without an answer.*ZeroDivisionError"),
)


@pytest.mark.parametrize(("look", "state", "detail"), OUTCOMES)
def test_the_outcome_gives_the_state(fresh: pytest.MonkeyPatch, look: object, state: str, detail: str) -> None:
    fresh.setitem(table.PROBES, "planted", look)
    if "0.2" in detail:
        fresh.setattr(trying, "SECONDS", 0.2)
    found = table.probe("planted")
    assert found.state == state
    assert re.search(detail, found.detail, re.DOTALL)


def test_a_denial_of_ptrace_is_found(fresh: pytest.MonkeyPatch) -> None:
    def body() -> bytes:
        exec(DENY_PTRACE, {})
        return msgspec.json.encode([table.probe(name).state for name in ("ptrace", "ptrace_denied", "sysemu", "memfd")])

    payload = supervise(body, 30).payload
    assert payload is not None
    assert msgspec.json.decode(payload) == ["denied", "yes", "denied", "yes"]


def test_a_denial_of_stub_calls_alone_is_found(fresh: pytest.MonkeyPatch) -> None:
    def look() -> bytes:
        ptrace.forbid(stub_calls.MUNMAP, errno.EPERM)
        return msgspec.json.encode([table.probe(name).state for name in ("ptrace", "stub_calls", "stub_calls_denied")])

    assert supervise(look, 30).payload == b'["yes","denied","yes"]'


@pytest.mark.parametrize(
    ("limits", "least"),
    [
        ({"": "max", "a": "max"}, None),
        ({"": "max", "a": "500", "a/b": "900"}, 500),
        ({"a": "900", "a/b": "500"}, 500),
        ({}, None),
        ({"a": "9223372036854771712"}, None),  # version 1's way to say max
    ],
)
def test_the_lowest_limit_of_all_groups_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: dict[str, str], least: int | None
) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    for folder, text in limits.items():
        (tmp_path / folder / "pids.max").write_text(f"{text}\n")
    there = control_groups.Membership(tmp_path, ("rw", "pids"), ("pids",), "/a/b")
    monkeypatch.setattr(control_groups, "memberships", lambda: iter([there]))
    assert cgroups.limit_of("pids", ("pids.max",)) == least
    assert cgroups.limit_of("memory", ("pids.max",)) is None


def test_a_low_limit_is_scarce(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "limit_of", lambda *_: cgroups.SCARCE_PROCESSES)
    assert cgroups.PROBES["scarce_processes"]() == "a limit of 256 processes"
    monkeypatch.setattr(cgroups, "limit_of", lambda *_: cgroups.SCARCE_PROCESSES + 1)
    with pytest.raises(Absent, match="no limit of 256 processes or less: it is 257"):
        cgroups.PROBES["scarce_processes"]()


def test_memory_is_told_in_mebibytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "limit_of", lambda *_: 2 << 30)
    with pytest.raises(Absent, match="no limit of 512 MiB or less: it is 2048 MiB"):
        cgroups.PROBES["scarce_memory"]()
