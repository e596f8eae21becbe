"""A probe says what is there, what is not and what is forbidden, and survives what it tries."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import time
from collections.abc import Iterator

import msgspec
import pytest
from cells import DENY_PTRACE

from worldswitch.harness import probes
from worldswitch.harness.supervisor import supervise


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    probes.probe.cache_clear()
    yield monkeypatch
    probes.probe.cache_clear()


@pytest.mark.parametrize("name", probes.PROBES)
def test_every_probe_answers(name: str) -> None:
    found = probes.probe(name)
    assert found.name == name
    assert found.state in ("yes", "no", "denied")
    assert found.detail


def test_there_is_no_probe_of_that_name() -> None:
    with pytest.raises(KeyError):
        probes.probe("perpetual_motion")


def _raise(error: Exception) -> str:
    raise error


#: What a probe does, and what is to be concluded.
CONDUCT = (
    (lambda: "here it is", "yes", "here it is"),
    (lambda: _raise(probes.Absent("not here")), "no", "not here"),
    (lambda: _raise(OSError(1, "EPERM it says")), "denied", "EPERM it says"),
    (lambda: _raise(OSError(13, "EACCES it says")), "denied", "EACCES it says"),
    (lambda: _raise(OSError(38, "ENOSYS it says")), "no", "ENOSYS it says"),
    (lambda: os.kill(os.getpid(), signal.SIGSYS), "denied", "killed by signal 31"),
    (lambda: ctypes.string_at(0), "no", "killed by signal 11"),
    (lambda: time.sleep(60), "no", "no answer within 0.2 s"),
    (lambda: _raise(ZeroDivisionError()), "no", "ended without an answer.*ZeroDivisionError"),
)


@pytest.mark.parametrize(("look", "state", "detail"), CONDUCT)
def test_what_is_concluded(fresh: pytest.MonkeyPatch, look: object, state: str, detail: str) -> None:
    fresh.setitem(probes.PROBES, "planted", look)
    if "0.2" in detail:
        fresh.setattr(probes, "SECONDS", 0.2)
    found = probes.probe("planted")
    assert found.state == state
    assert re.search(detail, found.detail, re.DOTALL)


def test_where_ptrace_is_denied_the_probes_say_so(fresh: pytest.MonkeyPatch) -> None:
    def body() -> bytes:
        exec(DENY_PTRACE, {})
        return msgspec.json.encode(
            [probes.probe(name).state for name in ("ptrace", "ptrace_denied", "sysemu", "memfd")]
        )

    payload = supervise(body, 30).payload
    assert payload is not None
    assert msgspec.json.decode(payload) == ["denied", "yes", "denied", "yes"]
