"""Shipped profiles load, and an invalid one is reported with file and field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from worldswitch.harness.cell.probes import table
from worldswitch.harness.environments.filters.seccomp_values import ACTIONS
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
        ({"capabilities": '["CAP_SYS_PTRACES"]'}, "capabilities[0]", "no capability; did you mean SYS_PTRACE?"),
        ({"capabilities": '["KILL", "x"]'}, "capabilities[1]", "'x' is no capability"),
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
        ({"privileged": '"yes"'}, "privileged", "expected `bool`"),
        ({"apparmor": '"two words"'}, "apparmor", "matching regex"),
        ({"selinux": '["spc_t"]'}, "selinux[0]", "matching regex"),
        ({"groups": "[-1]"}, "groups[0]", ">= 0"),
        ({"groups": '["wheel"]'}, "groups[0]", "expected `int`"),
        ({"read_only": "0"}, "read_only", "expected `bool`"),
        ({"devices": '["kvm"]'}, "devices[0]", "matching regex"),
        ({"devices": '["/dev/kvm:/dev/kvm:rx"]'}, "devices[0]", "matching regex"),
        ({"ulimits": "{ nofiles = 7 }"}, "ulimits.nofiles", "unknown field"),
        ({"ulimits": "{ nofile = -2 }"}, "ulimits.nofile", ">= -1"),
        ({"ulimits": '{ nofile = "64k" }'}, "ulimits.nofile", "matching regex"),
        ({"ulimits": '{ nofile = "9:8" }'}, "ulimits", "`nofile` is '9:8', with a soft limit above the hard one"),
        ({"ulimits": '{ core = "unlimited:8" }'}, "ulimits", "a soft limit above the hard one"),
        ({"namespaces": '{ ipc = "shared" }'}, "namespaces.ipc", "invalid enum value"),
        ({"mounts": '["/tmp"]'}, "mounts[0]", "expected `object`"),
        ({"mounts": '[{ target = "/x", kind = "bind" }]'}, "mounts[0].kind", "unknown field"),
        ({"mounts": '[{ target = "/x", options = ["noexce"] }]'}, "mounts[0]", "`options[0]` is 'noexce'"),
        ({"expect": "{}"}, "expect", "expected `array`"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, fields: dict[str, str | None], field: str, problem: str) -> None:
    path = write(tmp_path, fields=fields)
    with pytest.raises(ProfileError) as caught:
        profiles.load(path)
    assert str(caught.value).startswith(f"{path}: {field}: ")
    assert problem in str(caught.value)


def test_every_wrong_field_is_told_at_once(tmp_path: Path) -> None:
    path = write(
        tmp_path, fields={"about": None, "user": '"nobody"', "kernal": "{}", "limits": "{ pids = 2, cpus = 1 }"}
    )
    with pytest.raises(ProfileError) as caught:
        profiles.load(path)
    fields = [line.removeprefix(f"{path}: ").partition(":")[0] for line in str(caught.value).splitlines()]
    assert fields == ["about", "kernal", "user", "limits.cpus", "limits.pids"]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ('["SYS_PTRACE", "KILL"]', ("SYS_PTRACE", "KILL")),
        ('["CAP_SYS_PTRACE"]', ("SYS_PTRACE",)),
        ('["sys_ptrace", "cap_kill", "Kill"]', ("SYS_PTRACE", "KILL")),
        ('["all"]', "all"),
        ("[]", ()),
        ('"default"', "default"),
    ],
)
def test_capabilities_are_read_as_engines_read_them(tmp_path: Path, written: str, read: object) -> None:
    assert profiles.load(write(tmp_path, fields={"capabilities": written})).capabilities == read


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


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"apparmor": '"mine"'}, "`privileged` means no AppArmor profile, and `apparmor` names one"),
        ({"namespaces": '{ user = "mapped" }'}, "`privileged` needs the machine's user ids"),
    ],
)
def test_a_privileged_profile_contradicts_confinement(tmp_path: Path, fields: dict[str, str], problem: str) -> None:
    privileged = {"privileged": "true", "capabilities": '"all"', "seccomp": '"unconfined"'}
    assert profiles.load(write(tmp_path, fields={**privileged})).privileged
    with pytest.raises(ProfileError, match=problem):
        profiles.load(write(tmp_path, fields={**privileged, **fields}))


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


def test_a_file_of_another_kind_is_told(tmp_path: Path) -> None:
    (tmp_path / "mine.ini").write_text("")
    with pytest.raises(ProfileError, match=r"mine.ini: this file is neither a profile nor a filter: its name must end"):
        profiles.select([str(tmp_path / "mine.ini")])


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
        (
            "privileged = true",
            '`privileged` means `capabilities = "all"` and `seccomp = "unconfined"`; write both',
        ),
        ('selinux = ["disable", "type:x"]', "`selinux` has both `disable` and a part of a label"),
        ('mounts = [{ target = "/x" }, { target = "/x" }]', "`mounts` has the target '/x' twice"),
        ('[namespaces]\npid = "shared"', "`init` needs a private PID namespace, and `namespaces.pid` is shared"),
    ],
)
def test_contradicting_fields_are_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ProfileError) as caught:
        profiles.load(path)
    assert str(caught.value) == f"{path}: {problem}"


# --------------------------------------------------------------------------------------------------------- filters


def test_every_error_of_a_filter_is_told_with_file_and_field(tmp_path: Path) -> None:
    path = tmp_path / "sample.json"
    path.write_text('{"defaultAction": "ALLOW", "syscalls": [{"names": "read", "action": "SCMP_ACT_DENY"}]}')
    with pytest.raises(ProfileError) as caught:
        seccomp_filter.load(path)
    assert str(caught.value).splitlines() == [
        f"{path}: syscalls[0].names: must be a list, and is a string",
        f"{path}: defaultAction: 'ALLOW' is no action; did you mean SCMP_ACT_ALLOW?",
        f"{path}: syscalls[0].action: 'SCMP_ACT_DENY' is no action; expected one of {', '.join(sorted(ACTIONS))}",
    ]


def test_a_file_of_several_filters_is_no_profile_s_filter(tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    one = "kind: SeccompProfile\nmetadata: {name: NAME}\nspec: {defaultAction: SCMP_ACT_LOG}\n"
    path.write_text(f"{one.replace('NAME', 'a')}---\n{one.replace('NAME', 'b')}")
    with pytest.raises(ProfileError, match=r"two\.yaml: has 2 filters, a, b: put the one to use into a file"):
        profiles.load(path)


@pytest.mark.parametrize(
    ("file", "name"), [("My Filter.v2.json", "my-filter-v2"), ("hardened.json", "filter-hardened")]
)
def test_a_filter_is_a_profile_with_the_engine_s_capabilities(tmp_path: Path, file: str, name: str) -> None:
    path = tmp_path / file
    path.write_text('{"defaultAction": "SCMP_ACT_LOG"}')
    (profile,) = profiles.select([str(path)])
    assert (profile.name, profile.capabilities, profile.seccomp) == (name, "default", str(path))
    assert profile.filter == path.read_text()


def test_a_run_is_warned_of_what_its_filter_does_not_do(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"defaultAction": "SCMP_ACT_LOG", "syscalls": [{"name": "ptracee", "action": "SCMP_ACT_KILL"}]}')
    message = f"{path}: warning: syscalls[0].name: 'ptracee' is no system call, and runtimes drop it silently; did you"
    assert [one.startswith(message) for one in profiles.load(path).warnings] == [True]
    assert profiles.select(["unconfined", "hardened"])[0].warnings == []


def test_an_engine_is_given_the_filter_of_a_manifest_as_json(tmp_path: Path) -> None:
    path = tmp_path / "manifest.yaml"
    path.write_text("kind: SeccompProfile\nspec: {defaultAction: SCMP_ACT_LOG}\n")
    assert json.loads(profiles.load(path).filter) == {"defaultAction": "SCMP_ACT_LOG", "syscalls": []}


def test_a_missing_filter_is_named() -> None:
    with pytest.raises(ProfileError, match=r"^/nowhere/x\.json: cannot be read: No such file"):
        seccomp_filter.load(Path("/nowhere/x.json"))


@pytest.mark.parametrize("path", sorted(folder("seccomp").glob("*.json")), ids=lambda path: path.name)
def test_every_shipped_filter_is_valid(path: Path) -> None:
    assert seccomp_filter.load(path)["syscalls"]
    assert [one for one in seccomp_filter.load_checked(path).findings if one.severity == "warning"] == []


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
