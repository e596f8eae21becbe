"""`worldswitch profiles` lists profiles, and `worldswitch profile check` reports errors in files."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path

import pytest

from worldswitch.harness.cli import main
from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.environments.profiles.profile import KernelSettings, Limits, Namespaces, Profile
from worldswitch.harness.report import profiles as profile_list

PROFILE = 'name = "mine"\nabout = "x"\ncapabilities = []\nseccomp = "default"\n'
FILTER = '{"defaultAction": "SCMP_ACT_LOG", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}'
WHAT = (
    "a filter: by default allowed, with a line in the kernel log; 1 rule for 1 call; "
    f"for {platform.machine()} only; ptrace: allowed, with a line in the kernel log"
)
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
    assert told(capsys.readouterr().out) == [f"{profile}: a profile with 1 rules", f"{filter_}: {WHAT}"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PROFILE.replace("[]", '["ptrace"]'), "capabilities[0]: 'ptrace' is no capability; did you mean SYS_PTRACE?"),
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
    assert told(out) == [f"{right}: {WHAT}"]


def test_another_kind_of_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["profile", "check", str(tmp_path / "x.ini")]) == 1
    assert capsys.readouterr().err == (
        f"{tmp_path}/x.ini: expected a profile, NAME.toml, or a filter, NAME.json, NAME.yaml, NAME.yml\n"
    )


@pytest.mark.parametrize("suffix", [".json", ".yaml", ".toml"])
def test_a_file_that_cannot_be_read_is_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    missing, pipe, device, folder = (tmp_path / f"{name}{suffix}" for name in ("missing", "pipe", "device", "folder"))
    folder.mkdir()
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    for path, reason in (
        (missing, "No such file or directory"),
        (pipe, "it is a pipe, and a regular file is needed"),
        (device, "it is a device, and a regular file is needed"),
        (folder, "it is a directory, and a regular file is needed"),
    ):
        assert main.main(["profile", "check", str(path)]) == 2
        assert capsys.readouterr().err == f"{path}: cannot be read: {reason}\n"


def test_a_huge_file_is_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(100 << 20)
    assert main.main(["profile", "check", str(path)]) == 2
    assert capsys.readouterr().err == f"{path}: cannot be read: it is larger than 1 MiB\n"


def test_warnings_are_told_and_the_file_is_valid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, profile = tmp_path / "deny.json", tmp_path / "mine.toml"
    path.write_text(
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["ptracee"], "action": "SCMP_ACT_KILL"}]}'
    )
    profile.write_text(PROFILE.replace("default", "deny.json"))
    told = "syscalls[0].names[0]: 'ptracee' is no system call, and runtimes drop it silently; did you mean ptrace?"
    assert main.main(["profile", "check", str(path), str(profile)]) == 0
    assert capsys.readouterr().err == f"{path}: warning: {told}\n{profile}: warning: seccomp: {told}\n"


def test_the_json_has_every_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    right, wrong = tmp_path / "right.json", tmp_path / "wrong.json"
    right.write_text(FILTER)
    wrong.write_text('{"defaultAction": "SCMP_ACT_DENY", "syscalls": [{"name": "ptracee", "action": "x"}]}')
    assert main.main(["profile", "check", "--json", str(right), str(wrong)]) == 1
    first, second = json.loads(capsys.readouterr().out)
    assert first.pop("effect")[0].startswith("can a ptrace sandbox run under this filter?")
    assert first == {"file": str(right), "ok": True, "what": [WHAT], "errors": [], "warnings": [], "notes": []}
    assert second["ok"] is False
    assert [one["field"] for one in second["errors"]] == ["defaultAction", "syscalls[0].action"]
    assert [one["field"] for one in second["warnings"]] == ["syscalls[0].name"]


# ------------------------------------------------------------------------------------------------------------- from

COMPOSE = "services:\n  My_App:\n    image: x\n    cap_add: [SYS_PTRACE]\n    network_mode: host\n"


def test_a_profile_from_a_deployment_is_valid_and_says_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("compose.yaml").write_text(COMPOSE)
    assert main.main(["profile", "from", "compose.yaml"]) == 0
    output = capsys.readouterr()
    assert output.out == "my-app.toml\nrun it: worldswitch run --profile my-app.toml\n"
    assert "not in the profile: services.My_App.network_mode: cells have no network\n" in output.err
    text = Path("my-app.toml").read_text()
    assert text.startswith(
        "# From service My_App of compose.yaml, by `worldswitch profile from`.\n# Not carried over:\n"
    )
    assert "# - services.My_App.network_mode: cells have no network\n" in text
    assert main.main(["profile", "check", "my-app.toml"]) == 0


def test_name_and_folder_of_a_profile_from_a_deployment_are_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    source = str(tmp_path / "compose.yaml")
    assert main.main(["profile", "from", source, "--service", "My_App", "--name", "mine", "-o", str(tmp_path)]) == 0
    assert profiles.load(tmp_path / "mine.toml").name == "mine"
    assert main.main(["profile", "from", source, "--name", "mine", "-o", str(tmp_path)]) == 2
    assert f"worldswitch profile: {tmp_path}/mine.toml: is there already; choose another" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "Mine", "../mine", "a b", "-x"])
def test_a_name_that_no_profile_can_have_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main(["profile", "from", "compose.yaml", f"--name={name}"])
    assert caught.value.code == 2
    assert "expected lower-case letters, digits and hyphens" in capsys.readouterr().err


def test_a_deployment_that_cannot_be_read_is_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.yaml").write_text("services: {}")
    assert main.main(["profile", "from", str(tmp_path / "x.yaml"), "-o", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"worldswitch profile: {tmp_path}/x.yaml: has no service\n"
    assert [path.name for path in tmp_path.iterdir()] == ["x.yaml"]
