"""A process compares what confines it with a profile's settings, as far as it can see them."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any

import pytest

from worldswitch.harness.environments.profiles import expected
from worldswitch.harness.environments.profiles.profile import Profile
from worldswitch.harness.linux import cgroups, confinement


def settings(**changes: Any) -> dict[str, Any]:
    """Return settings that this process has."""
    return {
        "user": [os.getuid(), os.getgid()],
        "groups": [],
        "capabilities": None,
        "every_capability": False,
        "seccomp": False,
        "no_new_privileges": False,
        "apparmor": "",
        "selinux": [],
        "read_only": bool(os.statvfs("/").f_flag & os.ST_RDONLY),
        "mounts": [],
        "devices": [],
        "ulimits": {},
        "limits": {},
        **changes,
    }


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc in which everything is as usual in a container."""
    (tmp_path / "self/attr/apparmor").mkdir(parents=True)
    (tmp_path / "self/status").write_text("Seccomp:\t2\nNoNewPrivs:\t1\nCapBnd:\t0000000000080020\n")
    (tmp_path / "self/attr/apparmor/current").write_text("docker-default (enforce)\n")
    (tmp_path / "self/attr/current").write_text("system_u:system_r:container_t:s0:c1,c2\0")
    (tmp_path / "self/mountinfo").write_text(
        "22 1 0:20 / / ro,relatime - overlay overlay rw\n"
        "23 22 0:21 / /tmp rw,nosuid,nodev,noexec,relatime - tmpfs tmpfs rw,size=65536k,mode=1777\n"
        "24 22 0:22 /x /my\\040data ro,relatime master:1 - ext4 /dev/vda rw\n"
    )
    (tmp_path / "sys/kernel").mkdir(parents=True)
    (tmp_path / "sys/kernel/cap_last_cap").write_text("40\n")
    return tmp_path


def test_settings_that_the_process_has_are_no_differences(proc: Path) -> None:
    found = settings(
        seccomp=True,
        no_new_privileges=True,
        capabilities={"CAP_KILL": 5, "CAP_SYS_PTRACE": 19},
        apparmor="docker-default",
        selinux=["type:container_t", "level:s0:c1,c2"],
        mounts=[
            {"target": "/tmp", "type": "tmpfs", "options": ["rw", "noexec", "size=64m", "mode=1777"]},
            {"target": "/my data", "type": "bind", "options": ["ro"]},
        ],
        devices=["/dev/null"],
        ulimits={"nofile": list(resource.getrlimit(resource.RLIMIT_NOFILE))},
    )
    assert confinement.differences(found, proc) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"user": [7, 8]}, "user and group are "),
        ({"groups": [4000000000]}, "the process is not in the groups 4000000000"),
        ({"capabilities": {"CAP_KILL": 5}}, "the container also has the capabilities of the numbers 19"),
        (
            {"capabilities": {"CAP_KILL": 5, "CAP_SYS_PTRACE": 19, "CAP_X": 63}},
            "the container does not have CAP_X",
        ),
        ({"apparmor": "mine"}, "the AppArmor profile is docker-default (enforce), not mine"),
        ({"apparmor": "unconfined"}, "the AppArmor profile is docker-default (enforce), not unconfined"),
        ({"selinux": ["type:spc_t"]}, "the type of the SELinux label is container_t, not spc_t"),
        (
            {"mounts": [{"target": "/tmp", "type": "tmpfs", "options": ["exec"]}]},
            "/tmp is noexec, not exec",
        ),
        ({"mounts": [{"target": "/tmp", "type": "tmpfs", "options": ["ro"]}]}, "/tmp is not ro"),
        (
            {"mounts": [{"target": "/tmp", "type": "tmpfs", "options": ["size=1m"]}]},
            "/tmp is of size 65536k, not 1m",
        ),
        ({"mounts": [{"target": "/my data", "type": "tmpfs", "options": []}]}, "/my data is ext4, not tmpfs"),
        ({"mounts": [{"target": "/x", "type": "volume", "options": []}]}, "/x is not a mount, not volume"),
        ({"devices": ["/dev/null", "/dev/none"]}, "there is no device /dev/none"),
        ({"ulimits": {"nofile": [1, 2]}}, "the limit nofile is "),
    ],
)
def test_a_setting_that_the_process_does_not_have_is_told(proc: Path, changes: dict[str, Any], said: str) -> None:
    (found,) = confinement.differences(settings(**changes), proc)
    assert said in found


def test_a_filter_or_flag_that_is_not_in_force_is_told(proc: Path) -> None:
    (proc / "self/status").write_text("Seccomp:\t0\nNoNewPrivs:\t0\n")
    assert confinement.differences(settings(seccomp=True, no_new_privileges=True), proc) == [
        "no seccomp filter is in force",
        "no_new_privs is not set",
    ]


def test_the_root_is_compared(proc: Path) -> None:
    is_read_only = settings()["read_only"]
    (said,) = confinement.differences(settings(read_only=not is_read_only), proc)
    assert said == ("the root is read-only" if is_read_only else "the root is writable")


def test_a_kernel_without_security_modules_has_no_label(proc: Path) -> None:
    for file in ("attr/apparmor/current", "attr/current"):
        (proc / "self" / file).unlink()
    found = confinement.differences(settings(apparmor="mine", selinux=["type:spc_t", "disable"]), proc)
    assert found == [
        "the AppArmor profile is none: the kernel shows no AppArmor label, not mine",
        "the type of the SELinux label is none: the kernel shows no SELinux label, not spc_t",
    ]
    assert confinement.differences(settings(apparmor="unconfined"), proc) == []


def test_what_proc_does_not_show_is_not_compared(tmp_path: Path) -> None:
    mount = {"target": "/x", "type": "tmpfs", "options": []}
    said = settings(seccomp=True, no_new_privileges=True, capabilities={"CAP_KILL": 5}, mounts=[mount])
    assert confinement.differences(said, tmp_path) == []


def test_every_capability_means_every_one_of_the_kernel(proc: Path) -> None:
    (proc / "self/status").write_text(f"CapBnd:\t{(1 << 41) - 1:016x}\n")
    granted = expected.settings(Profile("x", "x", "all", "unconfined"))
    found = settings(capabilities=granted["capabilities"], every_capability=True)
    assert confinement.differences(found, proc) == []
    assert confinement.withheld(found, proc) == []
    (proc / "sys/kernel/cap_last_cap").write_text("37\n")
    (proc / "self/status").write_text(f"CapBnd:\t{(1 << 38) - 1 - (1 << 24):016x}\n")
    assert confinement.differences(found, proc) == ["the container does not have CAP_SYS_RESOURCE"]
    assert confinement.withheld(found, proc) == ["CAP_SYS_RESOURCE"]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"memory.max": "1000", "pids.max": "max"}, "the control group's limit of pids is max, not 7"),
        ({"memory.limit_in_bytes": "1001"}, "the control group's limit of memory is 1001, not 1000"),
        ({"memory.max": "999", "pids.max": "7"}, ""),
        ({}, ""),
    ],
)
def test_limits_of_the_control_group_are_compared(
    files: dict[str, str], said: str, proc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = tmp_path / "group"
    group.mkdir()
    for name, text in files.items():
        (group / name).write_text(f"{text}\n")
    membership = cgroups.Membership(group, ("rw",), (), "/far/away")
    monkeypatch.setattr(cgroups, "memberships", lambda: iter([membership]))
    found = confinement.differences(settings(limits={"memory": 1000, "pids": 7}), proc)
    assert found == ([said] if said else [])
