"""The OCI specification of a container, and its seccomp filter."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import PurePath
from typing import Any

import msgspec
import pytest

from worldswitch.harness.environments.oci import capabilities, default_filter, seccomp
from worldswitch.harness.environments.oci.seccomp import SeccompTarget
from worldswitch.harness.environments.oci.spec import ContainerContext, IdMapping, specification
from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.environments.profiles.mounts import Mount
from worldswitch.harness.environments.profiles.profile import Namespaces, Profile
from worldswitch.harness.environments.profiles.ulimits import Ulimits
from worldswitch.harness.linux.capabilities import EVERY

HERE = SeccompTarget("x86_64", (6, 12))
AROUND = ContainerContext("name", PurePath("/tree"), ["PATH=/bin"], "/tmp", HERE, cgroup="/group")
PLAIN = Profile("plain", "nothing is granted", capabilities=(), seccomp="unconfined")


def made(around: ContainerContext = AROUND, **said: Any) -> dict[str, Any]:
    """Return the specification for a profile with these fields."""
    return specification(msgspec.structs.replace(PLAIN, **said), ["suite"], around)


# ------------------------------------------------------------------------------------------------------------ filter


def resolve(
    *rules: dict[str, Any], capabilities: tuple[str, ...] = (), machine: SeccompTarget = HERE
) -> list[list[str]]:
    """Return the names of the rules that apply."""
    text = json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules})
    return [rule["names"] for rule in seccomp.resolve(text, capabilities, machine)["syscalls"]]


def rule(name: str, **said: object) -> dict[str, Any]:
    return {"names": [name], "action": "SCMP_ACT_ALLOW", **said}


@pytest.mark.parametrize(
    ("said", "holds"),
    [
        ({}, True),
        ({"includes": None, "excludes": {}}, True),
        ({"includes": {"caps": ["CAP_KILL"]}}, True),
        ({"includes": {"caps": ["CAP_KILL", "CAP_BPF"]}}, False),
        ({"excludes": {"caps": ["CAP_BPF"]}}, True),
        ({"excludes": {"caps": ["CAP_BPF", "CAP_KILL"]}}, False),
        ({"includes": {"arches": ["arm64", "amd64"]}}, True),
        ({"includes": {"arches": ["arm64"]}}, False),
        ({"excludes": {"arches": ["amd64"]}}, False),
        ({"excludes": {"arches": ["s390"]}}, True),
        ({"includes": {"minKernel": "4.8"}}, True),
        ({"includes": {"minKernel": "6.12"}}, True),
        ({"includes": {"minKernel": "6.13"}}, False),
        ({"excludes": {"minKernel": "6.12"}}, False),
        ({"excludes": {"minKernel": "7.0"}}, True),
    ],
)
def test_a_rule_applies_where_its_conditions_hold(said: dict[str, Any], holds: bool) -> None:
    assert resolve(rule("x", **said), capabilities=("CAP_KILL",)) == ([["x"]] if holds else [])


def test_a_resolved_rule_has_only_fields_of_the_oci_format() -> None:
    argument = {"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}
    zero = {"name": "z", "action": "SCMP_ACT_ERRNO", "errnoRet": 0, "args": [{**argument, "valueTwo": 0}]}
    text = json.dumps(
        {
            "comment": "of ours",
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": 38,
            "syscalls": [
                {"name": "x", "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "args": [argument], "comment": "y"},
                zero,
            ],
        }
    )
    assert seccomp.resolve(text, (), HERE) == {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 38,
        "syscalls": [
            {"names": ["x"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "args": [argument]},
            {"names": ["z"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0, "args": [argument]},
        ],
    }


def test_an_architecture_includes_its_subarchitectures() -> None:
    assert seccomp.resolve(seccomp.default(), (), HERE)["architectures"] == [
        *("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32")
    ]


def test_a_filter_without_the_machine_s_architecture_has_its_own_calls_only() -> None:
    assert "architectures" not in seccomp.resolve(seccomp.default(), (), SeccompTarget("riscv64", (6, 12)))


def test_errnos_by_name_become_numbers() -> None:
    rule_ = {"names": ["x"], "action": "SCMP_ACT_ERRNO", "errno": "EACCES"}
    text = json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrno": "ENOSYS", "syscalls": [rule_]})
    resolved = seccomp.resolve(text, (), HERE)
    assert resolved["defaultErrnoRet"] == 38
    assert resolved["syscalls"] == [{"names": ["x"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}]


def test_an_errno_of_an_action_that_answers_none_is_dropped() -> None:
    text = json.dumps({"defaultAction": "SCMP_ACT_LOG", "defaultErrnoRet": 1, "syscalls": [rule("x", errnoRet=1)]})
    assert seccomp.resolve(text, (), HERE) == {"defaultAction": "SCMP_ACT_LOG", "syscalls": [rule("x")]}


def test_a_filter_without_default_action_is_none() -> None:
    assert seccomp.resolve("{}", (), HERE) == {}


def test_all_among_the_capabilities_is_every_one() -> None:
    spec = made(capabilities=("ALL", "kill"))
    assert spec["process"]["capabilities"]["bounding"] == list(EVERY)


def test_a_filter_is_merged_from_its_shares() -> None:
    always, closed, opened = rule("read"), rule("clone3", action="SCMP_ACT_TRACE", errnoRet=38), rule("kcmp")
    shares: dict[str, Any] = {
        "": {"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["A", "B"], "syscalls": [always, closed]},
        "CAP_KILL": {"syscalls": [always, closed]},
        "CAP_SYS_PTRACE": {"syscalls": [always, closed, opened]},
        "CAP_SYS_ADMIN": {"syscalls": [always]},
    }
    found = default_filter.whole(shares)
    assert found["archMap"] == [{"architecture": "A", "subArchitectures": ["B"]}]
    text = json.dumps({**found, "archMap": [{"architecture": "SCMP_ARCH_X86_64"}]})
    for name, share in shares.items():
        assert seccomp.resolve(text, {name}, HERE)["syscalls"] == share["syscalls"]


def test_the_default_filter_allows_ptrace_s_relatives_with_sys_ptrace() -> None:
    def names(*granted: str) -> set[str]:
        return {name for one in seccomp.resolve(seccomp.default(), granted, HERE)["syscalls"] for name in one["names"]}

    assert names("CAP_SYS_PTRACE") - names() == {
        *("kcmp", "pidfd_getfd", "process_madvise", "process_vm_readv", "process_vm_writev")
    }


# ----------------------------------------------------------------------------------------------------- specification


def test_root_has_the_granted_capabilities_and_others_only_in_the_bounding_set() -> None:
    root = made(capabilities=("KILL",))["process"]["capabilities"]
    other = made(capabilities=("KILL",), user="7:8")["process"]
    assert root == {name: ["CAP_KILL"] for name in ("bounding", "effective", "permitted")}
    assert other["capabilities"] == {"bounding": ["CAP_KILL"]}
    assert other["user"] == {"uid": 7, "gid": 8, "additionalGids": [8]}
    assert made()["process"]["capabilities"] == {}
    assert made(capabilities="default")["process"]["capabilities"]["bounding"] == list(capabilities.USUAL)
    assert set(capabilities.USUAL) < set(EVERY)


def test_an_init_is_process_1_if_the_profile_says_so() -> None:
    assert made()["process"]["args"] == ["/sbin/docker-init", "--", "suite"]
    assert made(init=False)["process"]["args"] == ["suite"]


@pytest.mark.parametrize("name", profiles.available())
def test_every_container_is_confined(name: str) -> None:
    profile = profiles.select([name])[0]
    spec = specification(profile, ["suite"], AROUND)
    kinds = {one["type"] for one in spec["linux"]["namespaces"]}
    assert kinds >= {"mount", "network", "uts", "ipc"}
    assert spec["root"]["readonly"]
    assert spec["linux"]["resources"]["pids"]["limit"] == profile.limits.pids
    assert spec["linux"]["resources"]["memory"]["swap"] == profile.limits.memory_bytes
    assert spec["process"]["noNewPrivileges"] == profile.no_new_privileges
    assert ("seccomp" in spec["linux"]) == (profile.seccomp != "unconfined")


def namespaces(spec: dict[str, Any]) -> dict[str, str]:
    return {one["type"]: one.get("path", "") for one in spec["linux"]["namespaces"]}


def test_a_pid_namespace_is_private_shared_or_the_machine_s() -> None:
    shared = made(replace(AROUND, pid=42), namespaces=Namespaces("shared"), init=False)
    assert namespaces(made())["pid"] == ""
    assert namespaces(shared)["pid"] == "/proc/42/ns/pid"
    assert "pid" not in namespaces(made(namespaces=Namespaces("host"), init=False))


def test_users_are_mapped_if_the_profile_says_so() -> None:
    spec = made(replace(AROUND, users=[IdMapping(0, 1000, 1)], groups=[IdMapping(0, 100, 1)]))
    assert "user" in namespaces(spec)
    assert spec["linux"]["uidMappings"] == [{"containerID": 0, "hostID": 1000, "size": 1}]
    assert spec["linux"]["gidMappings"] == [{"containerID": 0, "hostID": 100, "size": 1}]
    assert "user" not in namespaces(made())


def test_without_control_groups_there_are_no_limits() -> None:
    spec = made(replace(AROUND, cgroup=""))
    assert "resources" not in spec["linux"]
    assert "cgroupsPath" not in spec["linux"]


def test_a_profile_s_settings_join_the_network_s() -> None:
    settings = made(sysctls={"kernel.msgmax": "9"})["linux"]["sysctl"]
    assert settings["kernel.msgmax"] == "9"
    assert settings["net.ipv4.ip_unprivileged_port_start"] == "0"


# -------------------------------------------------------------------------------------------------- settings of its own


def mounts(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["destination"]: one for one in spec["mounts"]}


def test_a_mount_of_the_profile_replaces_the_usual_one_and_outer_ones_come_first() -> None:
    own = (Mount("/data/in", "bind", "/srv", ("ro", "noexec")), Mount("/data", "volume"), Mount("/tmp"))
    spec = made(mounts=own)
    assert [one["destination"] for one in spec["mounts"]][-3:] == ["/data", "/tmp", "/data/in"]
    assert mounts(spec)["/data/in"] == {
        "destination": "/data/in",
        "type": "bind",
        "source": "/srv",
        "options": ["rbind", "rprivate", "ro", "noexec"],
    }
    assert mounts(spec)["/data"]["source"] == "volume-1"
    assert len(spec["mounts"]) == len(mounts(spec))


def test_a_privileged_container_hides_nothing() -> None:
    spec = made(privileged=True, capabilities="all", read_only=False)
    assert spec["process"]["capabilities"]["bounding"] == list(EVERY)
    assert (spec["linux"]["maskedPaths"], spec["linux"]["readonlyPaths"]) == ([], [])
    assert "ro" not in mounts(spec)["/sys"]["options"]
    assert "ro" not in mounts(spec)["/sys/fs/cgroup"]["options"]
    assert spec["linux"]["devices"] == [{"from": "/dev", "path": "/dev", "access": "rwm"}]
    assert spec["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert not spec["root"]["readonly"]
    assert "ro" in mounts(made())["/sys"]["options"]


def test_labels_of_security_modules_are_the_process_s() -> None:
    process = made(apparmor="mine", selinux=("type:spc_t", "level:s0:c1,c2"))["process"]
    assert process["apparmorProfile"] == "mine"
    assert process["selinuxLabel"] == "system_u:system_r:spc_t:s0:c1,c2"
    for unconfined in (made(), made(apparmor="unconfined", selinux=("disable",))):
        assert not {"apparmorProfile", "selinuxLabel"} & unconfined["process"].keys()


def test_limits_and_groups_are_the_process_s() -> None:
    process = made(ulimits=Ulimits(nofile="64:128", stack="unlimited"), groups=(7,), user="1:2")["process"]
    assert process["rlimits"] == [
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
        {"type": "RLIMIT_NOFILE", "soft": 64, "hard": 128},
        {"type": "RLIMIT_STACK", "soft": (1 << 64) - 1, "hard": (1 << 64) - 1},
    ]
    assert process["user"]["additionalGids"] == [2, 7]


def test_namespaces_of_the_machine_are_not_made() -> None:
    spec = made(namespaces=Namespaces(ipc="host", uts="host", cgroup="private"))
    assert not {"ipc", "uts"} & namespaces(spec).keys()
    assert "cgroup" in namespaces(spec)
    assert "cgroup" not in namespaces(made(replace(AROUND, own_cgroups=True), namespaces=Namespaces(cgroup="host")))
    assert mounts(spec)["/dev/shm"]["source"] == "/dev/shm"
    assert "hostname" not in spec
