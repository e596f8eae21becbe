"""Containers of an engine and of a plain runtime have what their profile says, and a cell tells what they lack."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from worldswitch.harness.cli.main import main
from worldswitch.harness.environments import container_factories
from worldswitch.harness.environments.container_factories import Maker
from worldswitch.harness.environments.docker.container import Docker
from worldswitch.harness.environments.oci.container import Oci
from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.run.collect import collect

#: Prints what a process of the container can see of the settings in `PROFILE`.
LOOK = """
import json, os, resource, stat
from pathlib import Path

def mounts():
    for line in open("/proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        target, options = before.split()[4:6]
        if target in ("/tmp", "/dev/shm", "/data", "/scratch", "/run"):
            kept = {"ro", "rw", "noexec", "nosuid", "nodev"} & set(options.split(","))
            size = [one for one in after.split()[2].split(",") if one.startswith("size=")]
            yield target, [after.split()[0] if target in ("/tmp", "/dev/shm", "/run") else "", *sorted(kept), *size]

device = os.stat("/dev/mine")
Path("/written").write_text("x")
print(json.dumps({
    "ids": [os.getuid(), os.getgid(), sorted(os.getgroups())],
    "mounts": dict(mounts()),
    "data": os.listdir("/data"),
    "device": [stat.S_ISCHR(device.st_mode), os.major(device.st_rdev), os.minor(device.st_rdev)],
    "limits": [resource.getrlimit(one) for one in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE)],
    "root": bool(os.statvfs("/").f_flag & os.ST_RDONLY),
    "ipc": os.readlink("/proc/self/ns/ipc"),
    "host name": os.uname().nodename,
}))
"""

PROFILE = """
name = "sample"
about = "Settings that deployments have."
capabilities = ["SYS_PTRACE"]
seccomp = "default"
groups = [1234]
read_only = false
devices = ["/dev/null:/dev/mine:rw"]
apparmor = "unconfined"
selinux = ["disable"]

[namespaces]
ipc = "host"
uts = "host"

[ulimits]
nofile = "64:128"
core = 4096

[[mounts]]
target = "/tmp"
options = ["noexec", "size=1048576"]

[[mounts]]
target = "/dev/shm"
options = ["exec", "size=2097152"]

[[mounts]]
target = "/run"

[[mounts]]
target = "/data"
type = "bind"
source = "FOLDER"
options = ["ro"]

[[mounts]]
target = "/scratch"
type = "volume"
"""


@pytest.fixture(scope="module", params=["docker", "oci"])
def make(request: pytest.FixtureRequest) -> Iterator[Maker]:
    """Return a factory of an engine's or a plain runtime's containers."""
    if request.param == "docker" and (os.geteuid() != 0 or not shutil.which("dockerd")):
        pytest.skip("an engine of one's own needs root and an installed dockerd")
    with ExitStack() as held:
        made = container_factories.BY_KIND[request.param](held, False, print)
        try:
            made(profiles.select(["docker-default"])[0])
        except Unobtainable as problem:
            pytest.skip(problem.reason)
        yield made


def written(folder: Path, text: str) -> profiles.Profile:
    """Return the profile of a text."""
    file = folder / "sample.toml"
    file.write_text(text)
    return profiles.load(file)


def looked(made: Maker, profile: profiles.Profile) -> dict[str, Any]:
    """Return what a container shows of itself."""
    place = made(profile)
    assert isinstance(place, Docker | Oci)
    cell = place.run(["python3", "-c", LOOK])
    try:
        lines = list(cell.frames())
        assert cell.wait(60) == 0, cell.log
        found: dict[str, Any] = json.loads(lines[-1])
        return found
    finally:
        cell.kill()


def test_a_container_has_its_profile_s_settings(make: Maker, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("without root a runtime has no supplementary groups, and shares no namespace")
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "file").touch()
    found = looked(make, written(tmp_path, PROFILE.replace("FOLDER", str(shared))))
    assert found == {
        "ids": [0, 0, [0, 1234]],
        "mounts": {
            "/tmp": ["tmpfs", "nodev", "noexec", "nosuid", "rw", "size=1024k"],
            "/dev/shm": ["tmpfs", "nodev", "nosuid", "rw", "size=2048k"],
            "/run": ["tmpfs", "nodev", "noexec", "nosuid", "rw"],
            "/data": ["", "ro"],
            "/scratch": ["", "rw"],
        },
        "data": ["file"],
        "device": [True, 1, 3],
        "limits": [[64, 128], [4096, 4096]],
        "root": False,
        "ipc": str(Path("/proc/self/ns/ipc").readlink()),
        "host name": os.uname().nodename,
    }


def test_a_writable_root_ends_with_its_container(make: Maker, tmp_path: Path) -> None:
    text = 'name = "sample"\nabout = "x"\ncapabilities = []\nseccomp = "default"\nread_only = false\n'
    place = make(written(tmp_path, text))
    assert isinstance(place, Docker | Oci)
    for _ in range(2):
        cell = place.run(["python3", "-c", "open('/new', 'x')"])
        try:
            assert list(cell.frames()) == []
            assert cell.wait(60) == 0, cell.log
        finally:
            cell.kill()


def test_a_security_profile_that_the_container_does_not_get_is_no_verdict(make: Maker, tmp_path: Path) -> None:
    text = 'name = "sample"\nabout = "x"\ncapabilities = []\nseccomp = "default"\napparmor = "mine"\n'
    seen: list[object] = []
    try:
        problem = collect(make(written(tmp_path, text)), ["--id", "TT01", "--no-chaos"], 60, seen.append)
        said = f"{problem.reason} {problem.log}" if problem else ""
    except Unobtainable as lack:
        said = lack.reason
    if Path("/sys/module/apparmor/parameters/enabled").exists():
        assert "apparmor" in said.lower()  # the runtime's words
    else:
        assert said.rstrip() in (
            "the container is not what its profile says: the AppArmor profile is none: the kernel shows no AppArmor "
            "label, not mine",
            "the profile sample needs the AppArmor profile mine, and AppArmor is not enabled in this kernel",
        )
    assert seen == []


@pytest.mark.parametrize("make", ["docker"], indirect=True)
def test_a_container_s_profile_is_the_one_that_it_was_made_of(
    make: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = written(tmp_path, PROFILE.replace("FOLDER", str(tmp_path)))
    place = make(profile)
    assert isinstance(place, Docker)
    monkeypatch.setenv("DOCKER_HOST", place._engine.url)
    monkeypatch.chdir(tmp_path)
    cell = place.run(["sleep", "60"])
    try:
        assert main(["profile", "from", cell._container[:12], "--name", "again"]) == 0
    finally:
        cell.kill()
        list(cell.frames())
    again = profiles.load(tmp_path / "again.toml")
    same = ("capabilities", "seccomp", "user", "no_new_privileges", "init", "apparmor", "selinux", "groups")
    same += ("read_only", "devices", "ulimits", "limits")
    assert {name: again.fields[name] for name in same} == {name: profile.fields[name] for name in same}
    assert (again.namespaces.ipc, again.namespaces.uts, again.namespaces.pid) == ("host", "host", "private")
    assert {one.target: one.type for one in again.mounts} == {one.target: one.type for one in profile.mounts}
    assert {one.target: {*one.flags} for one in again.mounts} == {one.target: {*one.flags} for one in profile.mounts}
