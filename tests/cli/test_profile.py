"""`worldswitch profiles` lists profiles, and `worldswitch profile check` reports errors in files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from worldswitch.harness.cli import main
from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.environments.profiles.profile import KernelSettings, Limits, Namespaces, Profile
from worldswitch.harness.report import profiles as profile_list

PROFILE = 'name = "mine"\nabout = "x"\ncapabilities = []\nseccomp = "default"\n'
FILTER = '{"defaultAction": "SCMP_ACT_LOG", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}'
LINE = '[[expect]]\nverdicts = ["blocked"]\nreason = "x"\n'


def told(out: str) -> list[str]:
    """Return what each file is, without the effect of its filter."""
    return [line for line in out.splitlines() if not line.startswith(" ")]


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc without Yama and without a command line."""
    (tmp_path / "cmdline").write_text("\n")
    return tmp_path


def test_every_profile_is_listed_and_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["profiles"]) == 0
    message = capsys.readouterr().out
    for name in profiles.available():
        assert f"\n{name}  (" in f"\n{message}"
    assert "Denies ptrace" in message


def test_the_json_has_every_profile(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["profiles", "--json"]) == 0
    listed = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert list(listed) == list(profiles.available())
    assert listed["hardened"]["engines"] == ["docker", "oci", "kernel"]
    assert listed["hardened"]["user"] == "65534:65534"
    assert listed["few-processes"]["limits"]["trials"] == 1


def test_unmet_kernel_settings_of_a_profile_are_listed(proc: Path) -> None:
    profile = Profile(
        "p", "Denies much.", (), "default", kernel=KernelSettings(yama=2, command_line=("vsyscall=none",))
    )
    assert profile_list.engines(profile, proc) == ("kernel",)
    assert "\n".join(profile_list.lines([profile], proc)).startswith(
        "p  (kernel)\n"
        "    Denies much.\n"
        "    capabilities: none; filter: default; kernel.yama: 2; kernel.command_line: vsyscall=none\n"
        "    not on this machine's own kernel: kernel.yama.ptrace_scope is missing and must be 2\n"
        "    not on this machine's own kernel: it was not booted with vsyscall=none\n"
    )


def test_default_settings_are_not_listed(proc: Path) -> None:
    profile = Profile(
        "p",
        "x",
        ("KILL", "CHOWN"),
        "hardened.json",
        init=False,
        usual=True,
        namespaces=Namespaces(pid="host"),
        limits=Limits(pids=99),
        sysctls={"net.a": "1", "net.b": "2"},
    )
    first, _, made, *_ = profile_list.lines([profile], proc)
    assert first == "p  (docker, oci, kernel, usual)"
    assert made.split("; ") == [
        "    capabilities: KILL CHOWN",
        "filter: hardened.json",
        "init: no",
        "namespaces.pid: host",
        "sysctls.net.a: 1",
        "sysctls.net.b: 2",
        "limits.pids: 99",
    ]


def test_valid_files_are_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile, filter_ = tmp_path / "mine.toml", tmp_path / "mine.json"
    profile.write_text(PROFILE.replace("default", "mine.json") + LINE + 'scenarios = ["EV03"]\nneeds = ["pidns"]\n')
    filter_.write_text(FILTER)
    assert main.main(["profile", "check", str(profile), str(filter_)]) == 0
    out = capsys.readouterr().out
    assert told(out) == [f"{profile}: a profile with 1 rules", f"{filter_}: a filter of 1 rules"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PROFILE.replace("[]", '["ptrace"]'), "capabilities[0]: expected `str` matching regex '^[A-Z_]+$'"),
        (PROFILE + "kernal = {}\n", "kernal: object contains unknown field `kernal`"),
        (PROFILE + LINE + 'scenarios = ["EV03", "EV77"]\n', "rule 1: scenarios[1]: no scenario is called 'EV77'; "),
        (PROFILE + LINE + 'needs = ["luck"]\n', "rule 1: needs[0]: unknown probe 'luck'; the probes are ptrace, "),
        (PROFILE + LINE, "rule 1: a rule must name `scenarios` or `needs`"),
    ],
)
def test_invalid_files_are_reported_and_the_others_still_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    wrong, right = tmp_path / "mine.toml", tmp_path / "mine.json"
    wrong.write_text(text)
    right.write_text(FILTER)
    assert main.main(["profile", "check", str(wrong), str(right)]) == 1
    out, err = capsys.readouterr()
    assert err.startswith(f"{wrong}: {message}")
    assert told(out) == [f"{right}: a filter of 1 rules"]


def test_another_kind_of_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["profile", "check", str(tmp_path / "x.yaml")]) == 1
    assert capsys.readouterr().err == f"{tmp_path}/x.yaml: expected a profile, NAME.toml, or a filter, NAME.json\n"
