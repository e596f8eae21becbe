"""System calls are recorded by tracees and others; the shipped filter names all those of the reference."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from worldswitch.harness.environments.profiles.containers_data import folder
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.run.syscall_record import compare, unotify

#: Makes a call that Python does not make by itself; a child that it traces makes another.
PROGRAM = """
import os
from worldswitch.harness.linux import ptrace, syscalls
os.sync()
with ptrace.stopped_child(lambda: None) as pid:
    ptrace.resume(pid, 24)  # PTRACE_SYSCALL: to the entry of getppid, and to its exit
    ptrace.resume(pid, 24)
raise SystemExit(3)
"""

QUIET = [sys.executable, "-S", "-c"]


def ignore(line: str) -> None:
    """Discard a line of progress."""


def test_calls_of_tracees_and_others_are_distinct() -> None:
    numbers = {name: number for number, name in unotify.names().items()}
    log = os.open(os.devnull, os.O_WRONLY)
    calls, status = unotify.record([*QUIET[:1], "-c", PROGRAM], dict(os.environ), log, ignore)
    os.close(log)
    assert status == 3
    assert {numbers["sync"], numbers["ptrace"], numbers["execve"]} <= calls.of_others
    assert numbers["getppid"] in calls.of_tracees
    assert numbers["sync"] not in calls.of_tracees


def test_a_program_that_cannot_start_has_an_exit_status(tmp_path: Path) -> None:
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    calls, status = unotify.record(["/nowhere/program"], {}, log, ignore)
    os.close(log)
    assert status == 2
    assert calls.of_tracees == set()


def test_a_missing_listener_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unotify.ptrace, "notify_of_everything", lambda: os._exit(0))
    with pytest.raises(unotify.Unrecordable, match=r"needs Linux 5\.6"):
        unotify.record(["true"], {}, 2, ignore)


def test_missing_headers_are_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(unotify, "HEADERS", tmp_path)
    with pytest.raises(unotify.Unrecordable, match="linux-libc-dev"):
        unotify.names()


def test_the_hardened_filter_allows_all_calls_of_the_reference() -> None:
    found = compare.compare(["EX01"], "hardened.json", ignore)
    assert found.denied == {}
    assert found.partly == {"clone": "allowed, by its arguments; otherwise EPERM"}
    assert found.replaced.keys() <= {"clone3"}
    assert {"mmap", "munmap", "clone"} <= set(found.by_traced)
    assert {"ptrace", "wait4"} <= set(found.by_others)
    assert "ptrace" not in found.by_traced
    assert "splice" in found.unused


def test_calls_that_a_filter_denies_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    narrow = tmp_path / "narrow.json"
    rules = [
        {"names": ["read", "splice"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
        {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_PTRACE"]}},
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 17, "op": "SCMP_CMP_EQ"}]},
    ]
    narrow.write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}))
    numbers = {name: number for number, name in unotify.names().items()}
    seen = unotify.Calls({numbers["read"]}, {numbers[name] for name in ("read", "ptrace", "clone", "clone3")} | {9999})
    monkeypatch.setattr(compare, "_record", lambda *_: seen)
    assert compare.show(["EX01"], str(narrow), as_json=False, say=ignore) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == [
        "by stubs and other tracees: read",
        "by other processes: call 9999 clone clone3 ptrace read",
        "narrow.json denies: call 9999 (EPERM), ptrace (EPERM; with SYS_PTRACE: allowed)",
        "it denies calls that the C library replaces by others: clone3 (ENOSYS)",
        "it does not always allow: clone (allowed, by its arguments; otherwise EPERM)",
        "it allows by name, but none was made here: splice",
    ]
    assert compare.show(["EX01"], str(narrow), as_json=True, say=ignore) == 1
    assert list(json.loads(capsys.readouterr().out)["denied"]) == ["call 9999", "ptrace"]


def test_a_deny_list_denies_what_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = {name: number for number, name in unotify.names().items()}
    calls = unotify.Calls({numbers["read"]}, {numbers[name] for name in ("read", "ptrace", "clone", "wait4")})
    monkeypatch.setattr(compare, "_record", lambda *_: calls)
    assert compare.show(["EX01"], "no-ptrace.json", as_json=False, say=ignore) == 1
    assert capsys.readouterr().out.splitlines()[3:] == ["no-ptrace.json denies: ptrace (EPERM)"]
    assert compare.show(["EX01"], "log.json", as_json=False, say=ignore) == 0
    assert "log.json denies none that trials need" in capsys.readouterr().out


def test_a_missing_filter_is_an_error() -> None:
    with pytest.raises(CouldNotRun, match=r"harden\.json: cannot be read: No such file"):
        compare.show(["EX01"], "harden.json", as_json=False, say=ignore)


def test_the_package_has_the_default_filter() -> None:
    assert (folder("seccomp") / "hardened.json").exists()
