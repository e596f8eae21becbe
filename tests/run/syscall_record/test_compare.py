"""The calls that a filter must allow are recorded, by who made them; the shipped one allows what the reference does."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from worldswitch.harness.environments.profiles.containers_data import folder
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.run.syscall_record import compare, unotify

#: Makes a call that Python does not make by itself, and then has a child that it traces make another.
PROGRAM = """
import os
from worldswitch.harness.linux import ptrace, syscalls
os.sync()
with ptrace.stopped_child(lambda: None) as pid:
    ptrace.resume(pid, 24)  # PTRACE_SYSCALL: to the entry of getppid, and to its exit, where it was asked about
    ptrace.resume(pid, 24)
raise SystemExit(3)
"""

QUIET = [sys.executable, "-S", "-c"]


def said(line: str) -> None:
    """Nobody listens."""


def test_calls_are_told_by_who_made_them() -> None:
    numbers = {name: number for number, name in unotify.names().items()}
    log = os.open(os.devnull, os.O_WRONLY)
    calls, status = unotify.record([*QUIET[:1], "-c", PROGRAM], dict(os.environ), log, said)
    os.close(log)
    assert status == 3
    assert {numbers["sync"], numbers["ptrace"], numbers["execve"]} <= calls.of_others
    assert numbers["getppid"] in calls.of_tracees
    assert numbers["sync"] not in calls.of_tracees


def test_a_program_that_cannot_be_started_has_a_status(tmp_path: Path) -> None:
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    calls, status = unotify.record(["/nowhere/program"], {}, log, said)
    os.close(log)
    assert status == 2
    assert calls.of_tracees == set()


def test_a_listener_that_never_comes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unotify.ptrace, "notify_of_everything", lambda: os._exit(0))
    with pytest.raises(unotify.Unrecordable, match=r"takes Linux 5\.6"):
        unotify.record(["true"], {}, 2, said)


def test_headers_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(unotify, "HEADERS", tmp_path)
    with pytest.raises(unotify.Unrecordable, match="linux-libc-dev"):
        unotify.names()


def test_the_hardened_filter_speaks_of_all_that_the_reference_calls() -> None:
    found = compare.compare(["EX01"], "hardened.json", said)
    assert found.unnamed == ()
    assert {"mmap", "munmap", "clone"} <= set(found.by_traced)
    assert {"ptrace", "wait4"} <= set(found.by_others)
    assert "ptrace" not in found.by_traced
    assert "splice" in found.unused


def test_what_a_filter_does_not_speak_of_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    narrow = tmp_path / "narrow.json"
    rules = [
        {"names": ["read", "splice"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO"},
    ]
    narrow.write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}))
    numbers = {name: number for number, name in unotify.names().items()}
    seen = unotify.Calls({numbers["read"]}, {numbers[name] for name in ("read", "ptrace", "clone3")} | {9999})
    monkeypatch.setattr(compare, "_record", lambda *_: seen)
    assert compare.show(["EX01"], str(narrow), as_json=False, say=said) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == [
        "by stubs and others that are traced: read",
        "by all others: call 9999 clone3 ptrace read",
        "narrow.json does not speak of: call 9999 ptrace",
        "it allows, and nobody made here: splice",
    ]
    assert compare.show(["EX01"], str(narrow), as_json=True, say=said) == 1
    assert json.loads(capsys.readouterr().out)["unnamed"] == ["call 9999", "ptrace"]


def test_a_filter_that_is_not_there_cannot_be_compared_with() -> None:
    with pytest.raises(CouldNotRun, match=r"harden\.json: cannot be read: No such file"):
        compare.show(["EX01"], "harden.json", as_json=False, say=said)


def test_the_package_has_the_filter_that_is_compared_with() -> None:
    assert (folder("seccomp") / "hardened.json").exists()
