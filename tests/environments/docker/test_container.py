"""The arguments that create an engine's container, and those of the package's profiles, which must stay as they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any, cast
from unittest.mock import Mock

import docker
import msgspec
import pytest

from worldswitch.harness.environments.docker import container
from worldswitch.harness.environments.docker.engine import Engine
from worldswitch.harness.environments.oci.seccomp import SeccompTarget
from worldswitch.harness.environments.oci.spec import ContainerContext, specification
from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.environments.profiles.mounts import Mount
from worldswitch.harness.environments.profiles.profile import Namespaces, Profile
from worldswitch.harness.environments.profiles.ulimits import Ulimits

ENGINE = Engine("unix:///engine", cast(docker.DockerClient, None), "Docker 1", private=True, cgroup_parent="/group")
AROUND = ContainerContext(
    "name", PurePath("/tree"), ["PATH=/bin"], "/tmp", SeccompTarget("x86_64", (6, 12)), cgroup="/group", pid=7
)
PLAIN = Profile("plain", "nothing is granted", capabilities=(), seccomp="unconfined")
#: The containers of docker-default, and in which values those of other profiles differ, without their filters.
SHIPPED: dict[str, dict[str, dict[str, Any]]] = json.loads(
    (Path(__file__).parents[2] / "data/shipped_containers.json").read_text()
)


def flat(value: object, place: str = "") -> Iterator[tuple[str, object]]:
    """Yield the leaves of nested tables by their places."""
    if isinstance(value, dict) and value:
        for name, member in value.items():
            yield from flat(member, f"{place}/{name}" if place else name)
    else:
        yield place, value


def arguments(profile: Profile) -> dict[str, Any]:
    made = container.settings(profile, ENGINE, "run", "companion")
    made["labels"] = sorted(made["labels"])
    made["security_opt"] = [option for option in made["security_opt"] if "defaultAction" not in option]
    return made


def configuration(profile: Profile) -> dict[str, Any]:
    made = specification(profile, ["suite"], AROUND)
    made["linux"].pop("seccomp", None)
    return made


@pytest.mark.parametrize("name", profiles.available())
@pytest.mark.parametrize(("kind", "make"), [("docker", arguments), ("oci", configuration)])
def test_containers_of_the_package_s_profiles_stay_as_they_are(kind: str, make: Any, name: str) -> None:
    found = dict(flat(json.loads(json.dumps(make(profiles.select([name])[0])))))
    recorded = SHIPPED[kind]["docker-default"] | SHIPPED[kind].get(name, {})
    assert found == {place: value for place, value in recorded.items() if value is not None or place in found}


def made(**said: Any) -> dict[str, Any]:
    """Return the arguments for a profile with these fields."""
    return container.settings(msgspec.structs.replace(PLAIN, **said), ENGINE, "run")


def test_security_modules_are_the_engine_s_options() -> None:
    assert made(apparmor="mine", selinux=("type:spc_t",), seccomp="default")["security_opt"] == [
        *("no-new-privileges:true", "apparmor=mine", "label=type:spc_t")
    ]
    assert made(selinux=("disable",))["security_opt"] == [
        *("no-new-privileges:true", "apparmor=unconfined", "label=disable", "seccomp=unconfined")
    ]


def test_a_privileged_container_has_every_capability() -> None:
    found = made(privileged=True, capabilities="all", read_only=False)
    assert found["privileged"]
    assert found["cap_add"] == ["ALL"]
    assert "cap_drop" not in found
    assert not found["read_only"]


def test_mounts_of_memory_are_tmpfs_and_others_mounts() -> None:
    found = made(
        mounts=(
            Mount("/tmp", options=("noexec",)),
            Mount("/run"),
            Mount("/data", "bind", "/srv", ("ro", "rslave")),
            Mount("/scratch", "volume"),
        )
    )
    assert found["tmpfs"] == {"/tmp": "rw,nosuid,nodev,mode=1777,size=128m,noexec", "/run": "noexec,nosuid,nodev"}
    bind, volume = found["mounts"]
    assert (bind["Target"], bind["Source"], bind["Type"], bind["ReadOnly"]) == ("/data", "/srv", "bind", True)
    assert bind["BindOptions"] == {"Propagation": "rslave"}
    assert (volume["Target"], volume["Type"], volume["Source"]) == ("/scratch", "volume", None)


def test_devices_groups_limits_and_namespaces_are_passed_on() -> None:
    found = made(
        devices=("/dev/kvm", "/dev/null:/dev/other:r", "/dev/fuse:rw"),
        groups=(7, 8),
        ulimits=Ulimits(nofile="64:128", core=-1),
        namespaces=Namespaces(ipc="host", uts="host", cgroup="private"),
    )
    assert found["devices"] == ["/dev/kvm:/dev/kvm:rwm", "/dev/null:/dev/other:r", "/dev/fuse:/dev/fuse:rw"]
    assert found["group_add"] == [7, 8]
    assert [(one.name, one.soft, one.hard) for one in found["ulimits"]] == [("core", -1, -1), ("nofile", 64, 128)]
    assert (found["ipc_mode"], found["uts_mode"], found["cgroupns"]) == ("host", "host", "private")


def test_an_option_that_the_engine_s_interface_lacks_makes_the_profile_unavailable() -> None:
    bind = Mount("/data", "bind", "/srv", ("noexec", "ro"))
    lack = container.unavailable(msgspec.structs.replace(PLAIN, mounts=(bind,)), ENGINE)
    assert lack
    assert "mounts /data with noexec, and the engine's interface has no such option for type bind" in lack.reason
    assert "--engine oci" in lack.remedy


def test_an_unforeseen_exception_of_the_reader_reaches_the_collector() -> None:
    """Without it the collector would wait until the cell counts as silent."""

    def broken() -> Iterator[tuple[bytes | None, bytes | None]]:
        yield b"one\n", None
        raise KeyError("a bug")

    client = Mock()
    client.api.attach.return_value = broken()
    client.api.inspect_container.return_value = {"State": {"Pid": 0}}
    lines = container.ContainerCell(client, "unix:///nowhere", "c").frames()
    assert next(lines) == b"one\n"
    with pytest.raises(KeyError, match="a bug"):
        next(lines)
