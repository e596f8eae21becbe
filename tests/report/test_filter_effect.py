"""`worldswitch profile check` says first whether a ptrace sandbox can run under a filter, then what it denies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from worldswitch.harness.cli import main
from worldswitch.harness.environments.profiles.containers_data import folder
from worldswitch.harness.environments.simulation import effect, record
from worldswitch.harness.environments.simulation.library import Rejected
from worldswitch.harness.report import filter_effect

QUESTION = filter_effect.QUESTION


def lines(tmp_path: Path, **content: object) -> list[str]:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(content))
    return list(filter_effect.lines(path))


def test_a_filter_that_denies_ptrace() -> None:
    first, *rest = filter_effect.lines(folder("seccomp") / "no-ptrace.json")
    denied = "ptrace(PTRACE_SEIZE) is denied by syscalls[0] (SCMP_ACT_ERRNO EPERM)"
    assert first == f"{QUESTION}  no: needs ptrace: {denied}"
    assert any("ptrace(PTRACE_SEIZE) ptrace(PTRACE_INTERRUPT)" in line for line in rest)


@pytest.mark.parametrize("name", ["default.json", "hardened.json", "log.json"])
def test_a_filter_under_which_it_runs(name: str) -> None:
    assert next(filter_effect.lines(folder("seccomp") / name)) == f"{QUESTION}  yes"


def test_a_filter_under_which_no_container_starts(tmp_path: Path) -> None:
    first, *rest = lines(tmp_path, defaultAction="SCMP_ACT_ERRNO", syscalls=[])
    assert first.startswith(f"{QUESTION}  no: no container starts: ")
    assert "is denied by defaultAction (SCMP_ACT_ERRNO EPERM)" in first
    needed = next(line for line in rest if "no container starts without:" in line)
    assert {"read", "execve", "clone"} <= set(needed.split())


def test_a_filter_that_libseccomp_rejects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def reject(*_: object, **__: object) -> None:
        raise Rejected("libseccomp rejects syscalls[0], kcmp: EINVAL Invalid argument")

    monkeypatch.setattr(effect, "FilterSimulator", reject)
    (first,) = lines(tmp_path, defaultAction="SCMP_ACT_ALLOW", syscalls=[])
    assert (
        first == f"{QUESTION}  no: no container starts: libseccomp rejects syscalls[0], kcmp: EINVAL Invalid argument"
    )


def test_a_profile_without_a_filter() -> None:
    assert list(filter_effect.lines(folder("profiles") / "unconfined.toml")) == [
        f"{QUESTION}  yes: the profile has no filter"
    ]


def test_an_architecture_without_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "load", lambda: None)
    (line,) = lines(tmp_path, defaultAction="SCMP_ACT_ALLOW", syscalls=[])
    assert "there is no record of this architecture's system calls" in line


def test_the_command_tells_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["profile", "check", str(folder("profiles") / "no-ptrace.toml")]) == 0
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.endswith("rules")
    assert second.startswith(f"  {QUESTION}  no: ")
