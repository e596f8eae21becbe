"""A plain runtime is chosen by a probe, its errors are quoted, and its containers end with the run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace
from scripted import header

from worldswitch.harness.cell_name import CellName
from worldswitch.harness.environments import plan, run_resources
from worldswitch.harness.environments.guardian import GuardedProcess
from worldswitch.harness.environments.images.tree import Tree
from worldswitch.harness.environments.oci import bundle, container, runtime, user_mapping
from worldswitch.harness.environments.oci.bundle import Runtime
from worldswitch.harness.environments.oci.container import OciCell
from worldswitch.harness.environments.oci.spec import IdMapping
from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.environments.profiles.mounts import Mount
from worldswitch.harness.environments.profiles.profile import Namespaces
from worldswitch.harness.environments.protocol import Missing
from worldswitch.harness.environments.run_resources import RunResources
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.expectations import fields, rules
from worldswitch.harness.expectations.judgement import Expectation
from worldswitch.harness.linux import confinement

pytestmark = pytest.mark.usefixtures("cache")


def applies(rule: Expectation, facts: dict[str, str]) -> bool:
    """True if a rule holds in a cell of an environment with these facts."""
    known = fields.of(CellName("oci:x"), replace(header(), environment=facts), {})
    return rule.holds(known)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Install scripts as runtimes, for an ordinary user."""
    monkeypatch.setattr(runtime, "NAMES", ())
    monkeypatch.setattr(bundle, "is_root", lambda: False)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def install(name: str, does: str) -> None:
        (tmp_path / name).write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "{name} version 1.2" && exit\n{does}\n')
        (tmp_path / name).chmod(0o755)
        monkeypatch.setattr(runtime, "NAMES", (*runtime.NAMES, name))

    return install


def ignore(line: str) -> None:
    """Drop the message."""


def test_the_first_runtime_that_works_is_used(run: RunResources, install: Callable[[str, str], None]) -> None:
    install("refuser", "echo cgroups in hybrid mode not supported; exit 1")
    install("worker", "exit 0")
    assert runtime.obtain(run, install=False, say=ignore).name == "worker 1.2"


def test_the_errors_of_failing_runtimes_are_quoted(run: RunResources, install: Callable[[str, str], None]) -> None:
    install("refuser", "echo cgroups in hybrid mode not supported; exit 1")
    with pytest.raises(Unobtainable) as caught:
        runtime.obtain(run, install=False, say=ignore)
    assert caught.value.reason == "refuser 1.2 could not run `true`: cgroups in hybrid mode not supported"
    assert caught.value.remedy.startswith("run as root")


def test_a_runtime_that_hangs_is_killed(
    run: RunResources, install: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "PROBE_SECONDS", 0.5)
    install("sleeper", "sleep 60")
    with pytest.raises(Unobtainable, match=r"did not end within 0\.5 s"):
        runtime.obtain(run, install=False, say=ignore)


def test_without_a_runtime_every_container_is_missing_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "NAMES", ())
    with plan.plan("oci", ["hardened", "no-ptrace"]) as places:
        first, second = places
    assert isinstance(first, Missing)
    assert isinstance(second, Missing)
    assert (first.name, second.name) == ("oci:hardened", "oci:no-ptrace")
    assert first.reason == "no OCI runtime is installed (runc, crun)"
    assert "apt-get install runc" in first.remedy
    assert run_resources.live_runs() == set()


def test_a_missing_runtime_is_installed_on_request(run: RunResources, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(runtime, "NAMES", ())
    monkeypatch.setattr(runtime, "install_engine", asked.append)
    with pytest.raises(Unobtainable, match="no OCI runtime is installed"):
        runtime.obtain(run, install=True, say=ignore)
    assert asked == ["runc"]


# ------------------------------------------------------------------------------------------------------ without root


@pytest.fixture
def ordinary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run as an ordinary user."""
    monkeypatch.setattr(bundle, "is_root", lambda: False)
    monkeypatch.setattr(user_mapping, "subordinate", lambda _: ())


@pytest.mark.usefixtures("ordinary")
def test_without_root_a_container_s_root_is_this_user() -> None:
    found = user_mapping.mapped(profiles.select(["docker-default"])[0])
    assert found["users"] == (IdMapping(0, os.geteuid(), 1),)
    assert found["rootless"]


@pytest.mark.usefixtures("ordinary")
def test_without_root_other_users_need_subordinate_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    hardened = profiles.select(["hardened"])[0]
    lack = container.unavailable(hardened)
    assert lack
    assert "runs as user 65534:65534, and without root only one id can be mapped" in lack.reason
    monkeypatch.setattr(user_mapping, "subordinate", lambda _: (IdMapping(1, 100000, 65536),))
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert not container.unavailable(hardened)


@pytest.mark.usefixtures("ordinary")
@pytest.mark.parametrize("pid", ["shared", "host"])
def test_without_root_pid_namespaces_cannot_be_shared(pid: str, tmp_path: Path) -> None:
    path = tmp_path / "sharing.toml"
    path.write_text(
        'name = "sharing"\nabout = "x"\ncapabilities = []\nseccomp = "default"\ninit = false\n'
        f'namespaces = {{ pid = "{pid}" }}\n'
    )
    lack = container.unavailable(profiles.load(path))
    assert lack
    assert "needs root" in lack.reason


@pytest.mark.usefixtures("ordinary")
def test_without_root_limits_are_unavailable() -> None:
    lack = container.unavailable(profiles.select(["few-processes"])[0])
    assert lack
    assert "without root there are no control groups to enforce them" in lack.reason


@pytest.mark.usefixtures("ordinary")
def test_without_root_scenarios_with_several_users_are_expected_to_be_blocked(
    run: RunResources, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = profiles.select(["docker-default"])[0]
    means = container.OciSetup(Runtime("/runc", "runc 1", rootless=True), Tree(Path("/"), "x", "y", (), "/"), run)
    place = container.Oci(means, profile)
    assert place.facts["rootless"]
    assert [one.source for one in rules.for_platform("reference", rules.packaged()) if applies(one, place.facts)] == [
        "one_user.toml rule 1"
    ]
    monkeypatch.setattr(user_mapping, "subordinate", lambda _: (IdMapping(1, 100000, 65536),))
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    facts = container.Oci(means, profile).facts
    assert [one for one in rules.for_platform("reference", rules.packaged()) if applies(one, facts)] == []


def test_a_user_s_subordinate_ids_are_read(tmp_path: Path) -> None:
    file = tmp_path / "subuid"
    file.write_text(f"somebody:1:2\nroot-but-not:3:4\n{os.geteuid()}:100000:65536\n")
    assert user_mapping.subordinate(str(file)) == (IdMapping(1, 100000, 65536),)
    file.write_text("somebody:1:2\n")
    assert user_mapping.subordinate(str(file)) == ()
    assert user_mapping.subordinate(str(tmp_path / "none")) == ()


# -------------------------------------------------------------------------------------------- settings of deployments


def test_what_this_machine_does_not_have_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def lacking(**said: object) -> str:
        lack = container.unavailable(replace(profiles.select(["docker-default"])[0], **said))
        return lack.reason if lack else ""

    monkeypatch.setattr(bundle, "is_root", lambda: True)
    assert lacking() == ""
    assert lacking(mounts=(Mount("/x", "bind", str(tmp_path)),), devices=("/dev/null",)) == ""
    assert "mounts /x from /none, and this machine has no such file" in lacking(mounts=(Mount("/x", "bind", "/none"),))
    assert "has the device /dev/y from /dev/none" in lacking(devices=("/dev/none:/dev/y",))
    mapped = lacking(read_only=False, namespaces=Namespaces(user="mapped"))
    assert "has a writable root and mapped users" in mapped
    monkeypatch.setattr(container, "APPARMOR", "none")
    monkeypatch.setattr(container, "SELINUX", "none")
    assert "needs the AppArmor profile mine, and AppArmor is not enabled" in lacking(apparmor="mine")
    assert "needs a label of SELinux, which is not enabled" in lacking(selinux=("type:spc_t",))
    assert lacking(apparmor="unconfined", selinux=("disable",)) == ""
    monkeypatch.setattr(confinement, "withheld", lambda *_: ["CAP_SYS_RESOURCE"])
    assert "needs the capabilities CAP_SYS_RESOURCE, which not even root has here" in lacking()


@pytest.mark.usefixtures("ordinary")
def test_settings_that_need_root_are_named() -> None:
    profile = replace(profiles.select(["docker-default"])[0], groups=(7,), namespaces=Namespaces(ipc="host"))
    lack = container.unavailable(profile)
    assert lack
    assert "sets groups, namespaces.ipc, which needs root without an engine" in lack.reason


def test_a_container_that_changes_its_root_has_a_copy_of_the_image(run: RunResources, tmp_path: Path) -> None:
    image = tmp_path / "image"
    (image / "tmp").mkdir(parents=True)
    means = container.OciSetup(Runtime("/runc", "runc 1", rootless=False), Tree(image, "x", "y", (), "/"), run)
    profile = profiles.select(["docker-default"])[0]
    place = container.Oci(means, profile)
    assert place._root(profile) == image
    assert place._root(replace(profile, mounts=(Mount("/tmp"),))) == image
    for change in ({"read_only": False}, {"mounts": (Mount("/new"),)}):
        own = place._root(replace(profile, **change))
        assert own != image
        assert [path.name for path in own.iterdir()] == ["tmp"]


# -------------------------------------------------------------------------------------------------------------- cell


def test_the_end_of_a_cell_ends_its_companion() -> None:
    companion = GuardedProcess(["sleep", "60"])
    cell = OciCell(GuardedProcess(["sh", "-c", "echo one"], stdout=subprocess.PIPE, stderr=subprocess.PIPE), companion)
    assert list(cell.frames()) == [b"one\n"]
    assert cell.wait(10) == 0
    assert companion.process.poll() is not None


def test_the_timeout_of_a_cell_names_the_container() -> None:
    cell = OciCell(GuardedProcess(["sleep", "60"], stdout=subprocess.PIPE, stderr=subprocess.PIPE))
    with pytest.raises(TimeoutError, match="the suite in the container did not end"):
        cell.wait(0.1)
    cell.kill()
    assert list(cell.frames()) == []


# --------------------------------------------------------------------------------------------------- the real thing

RUNNER = """
import sys, time
from functools import partial
from worldswitch.harness.environments.guardian import GuardedProcess
from worldswitch.harness.environments.run_resources import RunResources
from worldswitch.harness.environments.oci import bundle as launch, runtime

def specify(image, group):
    made = runtime._probe_specification("sleeper", image, group)
    made["process"]["args"] = ["sleep", "1000"]
    return made

run = RunResources.create()
found = runtime.obtain(run, install=False, say=print)
command, pid_file = launch.prepare(found, run, runtime.system(run), "sleeper", specify)
held = GuardedProcess(command)
while not (pid_file.exists() and pid_file.read_text()):
    assert held.process.poll() is None
    time.sleep(0.02)
print(run.id, pid_file.read_text(), flush=True)
signal = sys.stdin.readline()
run.close()
"""


@pytest.fixture
def real(run: RunResources) -> Runtime:
    """A runtime that works on this machine."""
    if os.geteuid() != 0:
        pytest.skip("without root there are no control groups to look for")
    try:
        return runtime.obtain(run, install=False, say=ignore)
    except Unobtainable as problem:
        pytest.skip(problem.reason)


@pytest.mark.usefixtures("real")
@pytest.mark.parametrize("signo", [signal.SIGKILL, signal.SIGINT])
def test_a_runner_that_dies_leaves_no_container(signo: signal.Signals, cache: Path) -> None:
    command = [sys.executable, "-P", "-c", RUNNER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as runner:
        assert runner.stdout
        name, pid = runner.stdout.readline().split()
        assert Path("/proc", pid).exists()
        assert groups(name)
        runner.send_signal(signo)
        runner.wait(10)
    until = time.monotonic() + 10
    while time.monotonic() < until and (
        groups(name) or Path("/proc", pid).exists() or (cache / "runs" / name).exists()
    ):
        time.sleep(0.05)
    assert not groups(name)
    assert not Path("/proc", pid).exists()
    assert not (cache / "runs" / name).exists()
    assert not (run_resources.SOCKETS / name).exists()
    assert name not in Path("/proc/self/mounts").read_text()


def groups(run: str) -> list[Path]:
    """Return a run's control groups."""
    return list(run_resources._control_groups(run))
