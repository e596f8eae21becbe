"""Shipped profiles load, and an invalid one is reported with file and field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from worldswitch.harness.cell.probes import table
from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.environments.profiles import seccomp_filter
from worldswitch.harness.environments.profiles.containers_data import folder
from worldswitch.harness.environments.profiles.profile import ProfileError
from worldswitch.harness.expectations import rules
from worldswitch.harness.expectations.rules import RuleError
from worldswitch.harness.verdict import Verdict

GOOD = {
    "name": '"sample"',
    "about": '"What it takes away."',
    "capabilities": '["SYS_PTRACE"]',
    "seccomp": '"default"',
}

LINE = '[[expect]]\nscenarios = ["EV*"]\nverdicts = ["blocked"]\nreason = "denied"\n'


def write(folder: Path, text: str = "", fields: Mapping[str, str | None] | None = None) -> Path:
    """Write a valid profile with these fields changed, added or (None) omitted."""
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
def test_every_need_in_a_profile_is_a_probe(name: str) -> None:
    (profile,) = profiles.select([name])
    assert {need for line in rules.of_profile(profile) for need in line.needs} <= table.PROBES.keys()


def test_a_rule_without_scenarios_or_needs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match="`scenarios` or `needs`"):
        rules.of_profile(profiles.load(write(tmp_path, LINE.replace('scenarios = ["EV*"]\n', ""))))


def test_without_names_the_usual_profiles_are_selected() -> None:
    usual = ["docker-default", "hardened", "no-ptrace", "ptrace-killed", "sys-ptrace", "unconfined"]
    assert [profile.name for profile in profiles.select([])] == usual


def test_all_selects_every_profile() -> None:
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


def test_a_profile_states_the_expected_verdicts(tmp_path: Path) -> None:
    (line,) = rules.of_profile(profiles.load(write(tmp_path, LINE)))
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
        ({"name": '"other"'}, "name", "must be the file's name"),
        ({"name": '"Sample Profile"'}, "name", "matching regex"),
        ({"name": "7"}, "name", "expected `str`"),
        ({"about": '""'}, "about", "length >= 1"),
        ({"capabilities": '"none"'}, "capabilities", "invalid"),
        ({"capabilities": '["CAP_sys_ptrace"]'}, "capabilities[0]", "matching regex"),
        ({"capabilities": '["SYS_PTRACE", 7]'}, "capabilities[1]", "expected `str`"),
        (
            {"seccomp": '"harden.json"'},
            "seccomp",
            "is neither one of default, unconfined, default.json, hardened.json, ",
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
        (
            {"kernel": '{ sysctls = { "/proc/x" = "1" } }'},
            "kernel",
            "'/proc/x' in `sysctls` is not the name of a sysctl",
        ),
        (
            {"kernel": '{ sysctls = { "kernel.yama.ptrace_scope" = "1" } }'},
            "kernel",
            "'kernel.yama.ptrace_scope' in `sysctls`: use the field `yama`",
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
        ('["EV*"]', "[]", "rule 1: scenarios", "length >= 1"),
        ('["EV*"]', '[""]', "rule 1: scenarios[0]", "length >= 1"),
        ('"blocked"', '"green"', "rule 1: verdicts[0]", "invalid"),
        ('reason = "denied"', "", "rule 1: reason", "missing required field"),
        ('"denied"', '""', "rule 1: reason", "length >= 1"),
        ("reason", "because", "rule 1: because", "unknown field"),
    ],
)
def test_a_wrong_expectation_is_named(tmp_path: Path, old: str, new: str, field: str, problem: str) -> None:
    path = write(tmp_path, LINE.replace(old, new))
    with pytest.raises(RuleError) as caught:
        rules.of_profile(profiles.load(path), path)
    assert str(caught.value).startswith(f"{path}: {field}: ")
    assert problem in str(caught.value)


def test_a_file_that_is_not_toml_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "][")
    with pytest.raises(ProfileError, match=r"sample\.toml: not TOML: .*line 5"):
        profiles.load(path)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ProfileError, match=r"^/nowhere/x\.toml: cannot be read: No such file"):
        profiles.select(["/nowhere/x.toml"])


def test_an_unknown_name_is_an_error_with_the_nearest_one() -> None:
    with pytest.raises(ProfileError, match=r"^harden: no such profile \(did you mean hardened\?\); choose one of "):
        profiles.select(["harden"])


def test_a_filter_in_place_of_a_profile_is_told(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text("{}")
    with pytest.raises(ProfileError, match=r"mine.json: this file is no profile, which is NAME.toml; name a seccomp"):
        profiles.select([str(tmp_path / "mine.json")])


def test_a_profile_named_twice_is_selected_once() -> None:
    assert [profile.name for profile in profiles.select(["hardened", "hardened"])] == ["hardened"]


def test_a_filter_in_the_profile_s_folder_is_used(tmp_path: Path) -> None:
    mine = tmp_path / "mine.json"
    mine.write_text('{"defaultAction": "SCMP_ACT_LOG", "syscalls": []}')
    profile = profiles.load(write(tmp_path, fields={"seccomp": '"mine.json"'}))
    assert profile.seccomp == str(mine)
    assert json.loads(profile.filter) == {"defaultAction": "SCMP_ACT_LOG", "syscalls": []}
    mine.write_text("{")
    with pytest.raises(ProfileError, match=r"mine\.json: line 1: not JSON: "):
        profiles.load(write(tmp_path, fields={"seccomp": '"mine.json"'}))


def test_limits_are_available_in_bytes() -> None:
    assert [profiles.Limits(memory=said).memory_bytes for said in ("3k", "64m", "1g")] == [3072, 64 << 20, 1 << 30]


def test_only_a_profile_that_limits_trials_has_the_fact(tmp_path: Path) -> None:
    assert profiles.load(write(tmp_path)).facts == {"profile": "sample"}
    limited = profiles.load(write(tmp_path, fields={"limits": "{ trials = 3 }"}))
    assert limited.facts == {"profile": "sample", "trials": "3"}


def test_trials_that_share_a_limit_run_one_at_a_time() -> None:
    alone = {one.name for one in profiles.select([profiles.ALL]) if one.limits.trials == 1}
    meet = {one.name for one in profiles.select([profiles.ALL]) if (one.limits.pids, one.limits.memory) != (512, "1g")}
    assert alone == meet == {"few-processes", "little-memory"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            'sysctls = { "vm.overcommit_memory" = "1" }',
            "'vm.overcommit_memory' in `sysctls` is a machine's setting, not a container's; put it in [kernel.sysctls]",
        ),
        ('[namespaces]\npid = "shared"', "`init` needs a private PID namespace, and `namespaces.pid` is shared"),
    ],
)
def test_contradicting_fields_are_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ProfileError) as caught:
        profiles.load(path)
    assert str(caught.value) == f"{path}: {problem}"


# --------------------------------------------------------------------------------------------------------- filters

ALLOW = {"names": ["read"], "action": "SCMP_ACT_ALLOW"}
ACTIONS = (
    "SCMP_ACT_ALLOW, SCMP_ACT_ERRNO, SCMP_ACT_KILL, SCMP_ACT_KILL_PROCESS, SCMP_ACT_KILL_THREAD, SCMP_ACT_LOG, "
    "SCMP_ACT_NOTIFY, SCMP_ACT_TRACE, SCMP_ACT_TRAP"
)
OPERATORS = "SCMP_CMP_EQ, SCMP_CMP_GE, SCMP_CMP_GT, SCMP_CMP_LE, SCMP_CMP_LT, SCMP_CMP_MASKED_EQ, SCMP_CMP_NE"


def rule(**changes: object) -> dict[str, object]:
    return {"defaultAction": "SCMP_ACT_LOG", "syscalls": [ALLOW, {**ALLOW, **changes}]}


def condition(**changes: object) -> dict[str, object]:
    return rule(args=[{"index": 0, "value": 1, "op": "SCMP_CMP_EQ", **changes}])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "a filter is a JSON object"),
        ({"syscalls": []}, f"defaultAction: None is no action; expected one of {ACTIONS}"),
        ({"defaultAction": "ALLOW", "syscalls": []}, f"defaultAction: 'ALLOW' is no action; expected one of {ACTIONS}"),
        ({"defaultAction": ["x"], "syscalls": []}, f"defaultAction: ['x'] is no action; expected one of {ACTIONS}"),
        ({"defaultAction": "SCMP_ACT_ALLOW"}, "syscalls: must be a list of rules"),
        ({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": {}}, "syscalls: must be a list of rules"),
        (
            {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": "EPERM", "syscalls": []},
            "defaultErrnoRet: 'EPERM' is not an integer from 0 to 4095",
        ),
        (
            {"defaultAction": "SCMP_ACT_LOG", "syscall": [], "syscalls": []},
            "syscall: unknown field; expected one of archMap, architectures, comment, defaultAction, defaultErrnoRet, "
            "flags, syscalls",
        ),
        ({"defaultAction": "SCMP_ACT_LOG", "syscalls": ["read"]}, "syscalls[0]: a rule is an object with `names`"),
        (rule(names=[]), "syscalls[1]: a rule is an object with `names`"),
        (rule(names="read"), "syscalls[1]: a rule is an object with `names`"),
        (rule(names=["read", 7]), "syscalls[1].names[1]: 7 is not the name of a system call"),
        (rule(names=["SYS read"]), "syscalls[1].names[0]: 'SYS read' is not the name of a system call"),
        (rule(action="SCMP_ACT_DENY"), f"syscalls[1].action: 'SCMP_ACT_DENY' is no action; expected one of {ACTIONS}"),
        (rule(action=None), f"syscalls[1].action: None is no action; expected one of {ACTIONS}"),
        (
            rule(arguments=[]),
            "syscalls[1].arguments: unknown field; expected one of action, args, comment, errno, errnoRet, excludes, "
            "includes, name, names",
        ),
        (
            rule(errnoRet=1),
            "syscalls[1].errnoRet: SCMP_ACT_ALLOW returns no errno; only SCMP_ACT_ERRNO and SCMP_ACT_TRACE do",
        ),
        (rule(action="SCMP_ACT_ERRNO", errnoRet=4096), "syscalls[1].errnoRet: 4096 is not an integer from 0 to 4095"),
        (rule(action="SCMP_ACT_ERRNO", errnoRet=True), "syscalls[1].errnoRet: True is not an integer from 0 to 4095"),
        (rule(args=[0]), "syscalls[1].args[0]: a condition is an object with `index`, `value` and `op`"),
        (condition(index=6), "syscalls[1].args[0].index: 6 is not an integer from 0 to 5"),
        (condition(index=None), "syscalls[1].args[0].index: None is not an integer from 0 to 5"),
        (condition(value=-1), "syscalls[1].args[0].value: -1 is not an integer from 0 to 18446744073709551615"),
        (condition(value="0x10"), "syscalls[1].args[0].value: '0x10' is not an integer from 0 to 18446744073709551615"),
        (
            condition(valueTwo=1 << 64),
            "syscalls[1].args[0].valueTwo: 18446744073709551616 is not an integer from 0 to 18446744073709551615",
        ),
        (condition(op="=="), f"syscalls[1].args[0].op: '==' is no operator; expected one of {OPERATORS}"),
        (condition(mask=1), "syscalls[1].args[0].mask: unknown field; expected one of index, op, value, valueTwo"),
    ],
)
def test_an_invalid_filter_is_reported_with_file_field_and_reason(content: object, said: str) -> None:
    with pytest.raises(ProfileError) as caught:
        seccomp_filter.check(content, Path("sample.json"))
    assert str(caught.value) == f"sample.json: {said}"


def test_a_valid_filter_is_returned_unchanged() -> None:
    for content in (rule(), condition(), condition(op="SCMP_CMP_MASKED_EQ", valueTwo=(1 << 64) - 1)):
        assert seccomp_filter.check(content, Path("sample.json")) is content


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"{", "line 1: not JSON: "), (b"[\n7,]", "line 2: not JSON: "), (b"\xff\xfe\x00", "not JSON: ")],
)
def test_a_filter_that_is_not_json_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "sample.json"
    path.write_bytes(content)
    with pytest.raises(ProfileError) as caught:
        seccomp_filter.load(path)
    assert str(caught.value).startswith(f"{path}: {said}")


def test_a_missing_filter_is_named() -> None:
    with pytest.raises(ProfileError, match=r"^/nowhere/x\.json: cannot be read: No such file"):
        seccomp_filter.load(Path("/nowhere/x.json"))


@pytest.mark.parametrize("path", sorted(folder("seccomp").glob("*.json")), ids=lambda path: path.name)
def test_every_shipped_filter_is_valid(path: Path) -> None:
    assert seccomp_filter.load(path)["syscalls"]


def test_the_hardened_filter_names_every_group_and_has_clone3_answer_enosys() -> None:
    rules = json.loads(profiles.read_filter("hardened.json"))["syscalls"]
    groups = [rule["comment"].partition(":")[0] for rule in rules[:5]]
    assert groups == ["Runtime init", "Python and the runner", "The reference", "Scenario tools", "Injected calls"]
    assert [rule["errnoRet"] for rule in rules if "clone3" in rule["names"]] == [38]


def test_unconfined_disables_seccomp_and_apparmor(tmp_path: Path) -> None:
    profile = profiles.load(write(tmp_path, fields={"seccomp": '"unconfined"', "no_new_privileges": "false"}))
    assert profile.security_options == ["apparmor=unconfined", "seccomp=unconfined"]
    assert profile.filter == ""


def test_a_filter_reaches_the_engine_as_text() -> None:
    options = profiles.select(["no-ptrace"])[0].security_options
    assert json.loads(options[1].removeprefix("seccomp="))["syscalls"][0]["names"] == ["ptrace"]
