"""Differences between the running kernel and a profile's kernel table are reported one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from worldswitch.harness.environments.docker import container
from worldswitch.harness.environments.docker.engine import Engine
from worldswitch.harness.environments.profiles import kernel_settings
from worldswitch.harness.environments.profiles.profile import KernelSettings, Namespaces, Profile


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A kernel booted with `quiet vsyscall=none`, without Yama, and with at most 512 mappings."""
    (tmp_path / "sys/vm").mkdir(parents=True)
    (tmp_path / "sys/vm/max_map_count").write_text("512\n")
    (tmp_path / "sys/vm/lowmem").write_text("256\t32\n")
    (tmp_path / "cmdline").write_text("quiet vsyscall=none\n")
    return tmp_path


def test_a_kernel_with_the_required_settings_has_no_differences(proc: Path) -> None:
    asked = KernelSettings(command_line=("vsyscall=none",), sysctls={"vm.max_map_count": "512", "vm.lowmem": "256 32"})
    assert kernel_settings.unmet(asked, proc) == []
    assert kernel_settings.unmet(KernelSettings(), proc) == []


def test_each_different_setting_is_reported(proc: Path) -> None:
    asked = KernelSettings(yama=2, command_line=("vsyscall=xonly",), sysctls={"vm.max_map_count": "9"})
    assert kernel_settings.unmet(asked, proc) == [
        "vm.max_map_count is 512, not 9",
        "kernel.yama.ptrace_scope is missing and must be 2",
        "it was not booted with vsyscall=xonly",
    ]


def test_an_invisible_command_line_is_not_taken_for_another(proc: Path) -> None:
    (proc / "cmdline").unlink()
    (problem,) = kernel_settings.unmet(KernelSettings(command_line=("vsyscall=xonly",)), proc)
    assert problem == f"{proc / 'cmdline'}, which must have vsyscall=xonly, cannot be read"
    assert kernel_settings.unmet(KernelSettings(), proc) == []


def test_yama_is_among_the_required_sysctls() -> None:
    assert kernel_settings.required_sysctls(KernelSettings(yama=0, sysctls={"vm.x": "1"})) == {
        "vm.x": "1",
        "kernel.yama.ptrace_scope": "0",
    }


@pytest.mark.parametrize(
    ("profile", "maps_users", "reason"),
    [
        (Profile("p", "x", (), "default"), False, ""),
        (Profile("p", "x", (), "default", namespaces=Namespaces(user="mapped")), True, ""),
        (Profile("p", "x", (), "default", namespaces=Namespaces(user="mapped")), False, "needs a user namespace"),
        (Profile("p", "x", (), "default", kernel=KernelSettings(sysctls={"vm.x": "1"})), True, "vm.x is missing"),
    ],
)
def test_a_profile_that_an_engine_cannot_provide_has_a_reason(profile: Profile, maps_users: bool, reason: str) -> None:
    engine = Engine("unix:///x", None, "an engine", private=False, maps_users=maps_users)  # type: ignore[arg-type]
    lack = container.unavailable(profile, engine)
    assert (lack is None) == (reason == "")
    assert lack is None or (reason in lack.reason and lack.remedy)
