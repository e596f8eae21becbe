"""Profiles: the ones that come with the package load, and whatever is wrong with one is said with file and field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from worldswitch.harness import filters, probes, profiles
from worldswitch.harness.profiles import ProfileError
from worldswitch.harness.verdict import Verdict

GOOD = {
    "name": '"sample"',
    "about": '"What it takes away."',
    "capabilities": '["SYS_PTRACE"]',
    "seccomp": '"default"',
}

LINE = '[[expect]]\nscenarios = ["EV*"]\nverdicts = ["blocked"]\nreason = "denied"\n'


def write(folder: Path, text: str = "", fields: Mapping[str, str | None] | None = None) -> Path:
    """Write a good profile with these fields changed, added or (None) left out."""
    lines = [f"{name} = {value}" for name, value in {**GOOD, **(fields or {})}.items() if value is not None]
    path = folder / "sample.toml"
    path.write_text("\n".join(lines) + "\n" + text)
    return path


@pytest.mark.parametrize("name", profiles.available())
def test_every_profile_of_the_package_loads(name: str) -> None:
    profile = profiles.select([name])[0]
    assert profile.name == name
    assert profile.security_options


@pytest.mark.parametrize("name", profiles.available())
def test_every_need_that_a_profile_speaks_of_is_a_probe(name: str) -> None:
    (profile,) = profiles.select([name])
    assert {need for line in profile.expect for need in line.needs} <= probes.PROBES.keys()


def test_a_line_that_is_about_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="`scenarios` or `needs`"):
        profiles.load(write(tmp_path, LINE.replace('scenarios = ["EV*"]\n', "")))


def test_who_names_none_gets_the_usual_ones() -> None:
    usual = ["docker-default", "hardened", "no-ptrace", "ptrace-killed", "sys-ptrace", "unconfined"]
    assert [profile.name for profile in profiles.select([])] == usual


def test_all_of_them_can_be_named_at_once() -> None:
    assert [profile.name for profile in profiles.select(["hardened", "all"])] == [
        "hardened",
        *(name for name in profiles.available() if name != "hardened"),
    ]


def test_a_minimal_profile_has_the_strict_defaults(tmp_path: Path) -> None:
    profile = profiles.load(write(tmp_path))
    assert profile.no_new_privileges
    assert profile.init
    assert profile.user == "0:0"
    assert profile.security_options == ["no-new-privileges:true"]


def test_a_profile_says_which_verdicts_are_expected(tmp_path: Path) -> None:
    (line,) = profiles.load(write(tmp_path, LINE)).expectations
    assert line.covers("environment::denied", ["EV03"])
    assert not line.covers("threads::pool", ["TT01"])
    assert line.verdicts == {Verdict.BLOCKED}
    assert line.reason == "denied"


@pytest.mark.parametrize(
    ("fields", "field", "problem"),
    [
        ({"name": None}, "name", "missing required field"),
        ({"about": None}, "about", "missing required field"),
        ({"capabilities": None}, "capabilities", "missing required field"),
        ({"seccomp": None}, "seccomp", "missing required field"),
        ({"name": '"other"'}, "name", "bears its file's name"),
        ({"name": '"Sample Profile"'}, "name", "matching regex"),
        ({"name": "7"}, "name", "expected `str`"),
        ({"about": '""'}, "about", "length >= 1"),
        ({"capabilities": '"none"'}, "capabilities", "invalid"),
        ({"capabilities": '["CAP_sys_ptrace"]'}, "capabilities[0]", "matching regex"),
        ({"capabilities": '["SYS_PTRACE", 7]'}, "capabilities[1]", "expected `str`"),
        (
            {"seccomp": '"harden.json"'},
            "seccomp",
            "is none of default, unconfined, default.json, hardened.json, ",
        ),
        ({"seccomp": "true"}, "seccomp", "expected `str`"),
        ({"user": '"nobody"'}, "user", "matching regex"),
        ({"init": '"yes"'}, "init", "expected `bool`"),
        ({"no_new_privileges": "1"}, "no_new_privileges", "expected `bool`"),
        ({"hostname": '"x"'}, "hostname", "unknown field"),
        ({"sysctls": "[]"}, "sysctls", "expected `object`, got `array`"),
        ({"sysctls": "{ 'net.core.somaxconn' = 7 }"}, "sysctls[...]", "expected `str`, got `int`"),
        ({"namespaces": '"host"'}, "namespaces", "expected `object`, got `str`"),
        ({"namespaces": '{ pid = "foreign" }'}, "namespaces.pid", "invalid enum value 'foreign'"),
        ({"namespaces": "{ user = true }"}, "namespaces.user", "expected `str`, got `bool`"),
        ({"namespaces": '{ net = "host" }'}, "namespaces.net", "unknown field"),
        ({"usual": '"no"'}, "usual", "expected `bool`"),
        ({"kernel": "{ yama = 4 }"}, "kernel.yama", "<= 3"),
        ({"kernel": '{ yama = "1" }'}, "kernel.yama", "expected `int | null`, got `str`"),
        ({"kernel": '{ command_line = "quiet" }'}, "kernel.command_line", "expected `array`"),
        ({"kernel": '{ command_line = ["a b"] }'}, "kernel.command_line[0]", "matching regex"),
        ({"kernel": '{ sysctls = { "/proc/x" = "1" } }'}, "kernel", "'/proc/x' in `sysctls` is no name of a setting"),
        (
            {"kernel": '{ sysctls = { "kernel.yama.ptrace_scope" = "1" } }'},
            "kernel",
            "'kernel.yama.ptrace_scope' in `sysctls` is said by `yama`",
        ),
        ({"kernel": '{ version = "6.12" }'}, "kernel.version", "unknown field"),
        ({"limits": "{ trials = -1 }"}, "limits.trials", ">= 0"),
        ({"limits": "{ pids = 2 }"}, "limits.pids", ">= 16"),
        ({"limits": '{ memory = "1 GB" }'}, "limits.memory", "matching regex"),
        ({"limits": "{ cpus = 2 }"}, "limits.cpus", "unknown field"),
        ({"expect": "{}"}, "expect", "expected `array`"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, fields: dict[str, str | None], field: str, problem: str) -> None:
    path = write(tmp_path, fields=fields)
    with pytest.raises(ProfileError) as caught:
        profiles.load(path)
    assert str(caught.value).startswith(f"{path}: {field}: ")
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "field", "problem"),
    [
        ('["EV*"]', "[]", "expect[0].scenarios", "length >= 1"),
        ('["EV*"]', '[""]', "expect[0].scenarios[0]", "length >= 1"),
        ('"blocked"', '"green"', "expect[0].verdicts[0]", "invalid"),
        ('reason = "denied"', "", "expect[0].reason", "missing required field"),
        ('"denied"', '""', "expect[0].reason", "length >= 1"),
        ("reason", "because", "expect[0].because", "unknown field"),
    ],
)
def test_a_wrong_expectation_is_named(tmp_path: Path, old: str, new: str, field: str, problem: str) -> None:
    path = write(tmp_path, LINE.replace(old, new))
    with pytest.raises(ProfileError) as caught:
        profiles.load(path)
    assert caught.value.field == field
    assert problem in str(caught.value)


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "][")
    with pytest.raises(ProfileError, match=r"sample\.toml: not TOML: .*line 5"):
        profiles.load(path)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ProfileError, match=r"^/nowhere/x\.toml: cannot be read: No such file"):
        profiles.select(["/nowhere/x.toml"])


def test_a_name_that_is_not_known_is_answered_with_those_that_are() -> None:
    with pytest.raises(
        ProfileError, match=r"no such profile; there are docker-default, few-mappings, .* or all of them: all, or"
    ):
        profiles.select(["harden"])


def test_a_profile_asked_for_twice_comes_once() -> None:
    assert [profile.name for profile in profiles.select(["hardened", "hardened"])] == ["hardened"]


# --------------------------------------------------------------------------------------------------------- filters


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ([], ""),
        ({"syscalls": []}, "defaultAction"),
        ({"defaultAction": "ALLOW", "syscalls": []}, "defaultAction"),
        ({"defaultAction": "SCMP_ACT_ALLOW"}, "syscalls"),
        ({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_LOG"}]}, "syscalls[0]"),
        ({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"]}]}, "syscalls[0].action"),
    ],
)
def test_a_wrong_filter_is_named_with_the_field(content: object, field: str) -> None:
    with pytest.raises(ProfileError) as caught:
        filters.check(content, Path("sample.json"))
    assert caught.value.field == field


def test_the_hardened_filter_names_every_group_and_has_clone3_answer_enosys() -> None:
    rules = json.loads(profiles.read_filter("hardened.json"))["syscalls"]
    groups = [rule["comment"].partition(":")[0] for rule in rules[:5]]
    assert groups == ["Runtime init", "Python and the runner", "The reference", "Scenario tools", "Injected calls"]
    assert [rule["errnoRet"] for rule in rules if "clone3" in rule["names"]] == [38]


def test_a_filter_reaches_the_engine_as_text() -> None:
    options = profiles.select(["no-ptrace"])[0].security_options
    assert json.loads(options[1].removeprefix("seccomp="))["syscalls"][0]["names"] == ["ptrace"]
