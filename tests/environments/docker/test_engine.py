"""Engines and their containers: discovery, errors without an engine, and the confinement of a cell."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import pwd
import stat
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from worldswitch.harness.environments import apt_install, host, installation, plan, run_resources
from worldswitch.harness.environments.apt_install import POLICY_TEXT, install_engine, services_disabled
from worldswitch.harness.environments.cache import LABEL
from worldswitch.harness.environments.docker import address, container, engine, image
from worldswitch.harness.environments.docker.engine import Engine
from worldswitch.harness.environments.images import site_packages
from worldswitch.harness.environments.images.apt import keyring
from worldswitch.harness.environments.images.site_packages import ImageTarget
from worldswitch.harness.environments.oci import runtime
from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.environments.protocol import Missing
from worldswitch.harness.environments.run_resources import RunResources
from worldswitch.harness.errors import Unobtainable

pytestmark = pytest.mark.usefixtures("cache")


# ------------------------------------------------------------------------------------------------------- no engine


def test_docker_host_is_the_only_address_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    assert engine.addresses() == ["unix:///nowhere/docker.sock"]


def test_without_docker_host_existing_sockets_are_tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "docker.sock").touch()
    assert f"unix://{tmp_path}/docker.sock" in engine.addresses()
    assert f"unix://{tmp_path}/podman/podman.sock" not in engine.addresses()


def test_without_root_the_error_has_reason_and_remedies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    with pytest.raises(Unobtainable) as caught:
        engine.check_startable([])
    assert caught.value.reason == "no container engine runs here, and starting a private one needs root"
    assert "as root with --install-engine" in caught.value.remedy


def test_without_dockerd_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unobtainable) as caught:
        engine.check_startable(["unix:///x does not answer (Connection refused)"])
    assert caught.value.reason.startswith("unix:///x does not answer (Connection refused), and dockerd is not")
    assert "apt-get install docker.io" in caught.value.remedy


def test_installing_needs_root_and_apt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unobtainable, match="needs root and a system with apt-get"):
        install_engine("docker.io")


def test_environments_of_a_silent_engine_are_missing_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    with plan.plan("auto", ["hardened", "no-ptrace"]) as places:
        first, second, third = places
    assert isinstance(first, host.Host)
    assert isinstance(second, Missing)
    assert isinstance(third, Missing)
    assert (second.name, third.name) == ("docker:hardened", "docker:no-ptrace")
    assert "unix:///nowhere/docker.sock does not answer (No such file or directory)" in second.reason
    assert third.profile == profiles.select(["no-ptrace"])[0]


#: Addresses at which no engine answers, and a part of the reason that is given.
SILENT = {
    "tcp://127.0.0.1:1": "Connection refused",
    "http://127.0.0.1:1": "Connection refused",
    "unix:///nowhere/docker.sock": "No such file or directory",
    "unix:///dev/null": "Connection refused",
    "unix://": "Invalid argument",
    "ssh://nobody@127.0.0.1": "ssh://nobody@127.0.0.1 is not supported: this program does not connect by ssh",
    "garbage": "Invalid bind address format",
    "tcp://127.0.0.1:99999": "Port out of range",
    "npipe:////x": "only supported on Windows",
    "fd://": "fd protocol is not implemented",
    " ": "Invalid bind address format",
}


@pytest.mark.parametrize(("address", "cause"), SILENT.items(), ids=SILENT)
def test_no_other_engine_is_used_than_the_one_that_docker_host_names(
    address: str, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root with an installed dockerd could start a private one, which is not the one that was named."""
    monkeypatch.setenv("DOCKER_HOST", address)
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setattr(engine, "start", lambda *_, **__: pytest.fail("another engine was started"))
    with plan.plan("docker", ["hardened"], install_engine=True) as places:
        (missing,) = places
    assert isinstance(missing, Missing)
    assert "DOCKER_HOST names the engine to use" in missing.reason
    assert cause in missing.reason
    assert "or unset it" in missing.remedy


@pytest.fixture
def context(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A Docker context for an engine that does not run, the current one; returns the folder of its configuration."""
    folder = tmp_path / "docker"
    meta = folder / "contexts/meta" / hashlib.sha256(b"far").hexdigest() / "meta.json"
    meta.parent.mkdir(parents=True)
    address = {"docker": {"Host": "unix:///nowhere/far.sock", "SkipTLSVerify": False}}
    meta.write_text(json.dumps({"Name": "far", "Metadata": {}, "Endpoints": address}))
    (folder / "config.json").write_text('{"currentContext": "far"}')
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    return folder


def test_the_engine_of_the_current_context_is_the_one_that_is_used(
    context: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "start", lambda *_, **__: pytest.fail("another engine was started"))
    with plan.plan("auto", ["hardened"], install_engine=True) as places:
        _, missing = places
    assert isinstance(missing, Missing)
    assert "the Docker context far names the engine to use, and unix:///nowhere/far.sock does not" in missing.reason


def test_docker_host_comes_before_a_context(context: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine.addresses() == ["unix:///nowhere/far.sock"]
    monkeypatch.setenv("DOCKER_CONTEXT", "default")
    assert "unix:///nowhere/far.sock" not in engine.addresses()
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/near.sock")
    assert engine.addresses() == ["unix:///nowhere/near.sock"]


@pytest.mark.parametrize("broken", ["no such context", "damaged"])
def test_a_context_that_cannot_be_read_is_no_other_engine(
    broken: str, context: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if broken == "damaged":
        next(context.rglob("meta.json")).write_text("[" * 10)
    else:
        monkeypatch.setenv("DOCKER_CONTEXT", "nowhere")
    with pytest.raises(Unobtainable, match="names the engine to use, and its settings cannot be read"):
        engine.addresses()


def test_the_tls_variables_are_those_of_docker_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    with pytest.raises(Unobtainable, match="DOCKER_HOST names the engine to use, and its settings cannot be read"):
        engine.addresses()
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (tmp_path / name).touch()
    found = address.named()
    assert found
    assert found.tls
    assert found.tls.ca_cert == str(tmp_path / "ca.pem")


@pytest.mark.parametrize("works", [True, False])
def test_a_missing_engine_is_told_with_a_plain_runtime_that_works(works: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def obtain(run: RunResources, *, install: bool, say: object) -> runtime.Runtime:
        if works:
            return SimpleNamespace(name="runc 1.1")  # type: ignore[return-value]
        raise Unobtainable("no runtime", "install one")

    monkeypatch.setattr(runtime, "obtain", obtain)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with plan.plan("docker", ["hardened"]) as places:
        (missing,) = places
    assert isinstance(missing, Missing)
    assert ("--engine oci: runc 1.1 makes containers here" in missing.remedy) is works


def test_the_host_alone_needs_no_engine() -> None:
    with plan.plan("host", ["hardened"]) as places:
        assert [place.name for place in places] == ["host"]


@pytest.fixture
def obtained(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Fake engines on a machine without Yama; records `map_users` of each."""
    asked: list[bool] = []

    def obtain(run: RunResources, *, install: bool, map_users: bool, say: object) -> Engine:
        asked.append(map_users)
        return Engine("unix:///x", None, "an engine", private=True, maps_users=map_users)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "obtain", obtain)
    monkeypatch.setattr(engine, "sweep", lambda _: None)
    monkeypatch.setattr(image, "obtain", lambda *_: image.Image("i", "sha256:0", "base"))
    monkeypatch.setattr(container.kernel_settings, "unmet", lambda asked: ["no Yama"] if asked.yama is not None else [])
    return asked


def test_a_profile_for_another_kernel_is_missing_if_it_was_named(obtained: list[bool]) -> None:
    with plan.plan("docker", ["yama-1", "hardened"]) as places:
        first, second = places
    assert isinstance(first, Missing)
    assert first.reason == "the profile yama-1 needs other kernel settings: no Yama"
    assert "--kernel 6.12 --profile yama-1" in first.remedy
    assert second.name == "docker:hardened"
    assert obtained == [False]


def test_of_all_profiles_unavailable_ones_are_skipped_with_a_message(obtained: list[bool]) -> None:
    said: list[str] = []
    with plan.plan("docker", ["all"], say=said.append) as places:
        names = {place.name for place in places}
        assert not any(isinstance(place, Missing) for place in places)
    assert "docker:user-namespace" in names
    assert not any("yama" in name for name in names)
    assert "skipped: the profile yama-1 needs other kernel settings: no Yama" in said
    assert obtained == [False, True]


def test_a_mapping_engine_serves_profiles_with_mapped_users_only(obtained: list[bool]) -> None:
    with plan.plan("docker", ["user-namespace", "hardened"]) as places:
        runs = [place._run for place in places]  # type: ignore[union-attr]
    assert obtained == [True, False]
    assert len(set(runs)) == 2
    assert run_resources.live_runs() == set()


def test_an_unavailable_engine_costs_only_its_own_profiles(
    obtained: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = engine.obtain

    def obtain(*arguments: Any, map_users: bool, **options: Any) -> Engine:
        if map_users:
            raise Unobtainable("it broke", "mend it")
        return usual(*arguments, map_users=map_users, **options)

    monkeypatch.setattr(engine, "obtain", obtain)
    with plan.plan("docker", ["user-namespace", "hardened"]) as places:
        first, second = places
    assert isinstance(first, Missing)
    assert (first.name, first.reason) == ("docker:user-namespace", "it broke")
    assert first.remedy.startswith("mend it")
    assert (second.name, isinstance(second, Missing)) == ("docker:hardened", False)


def test_a_plan_that_fails_releases_its_resources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "obtain", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        plan.plan("docker")
    assert run_resources.live_runs() == set()


# -------------------------------------------------------------------------------------------------- private engine


def test_an_engine_s_connection_is_closed_with_the_run(run: RunResources, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []

    class Client:
        def close(self) -> None:
            closed.append(True)

    monkeypatch.setenv("DOCKER_HOST", "unix:///a/socket")
    monkeypatch.setattr(engine, "answering", lambda url, _: Engine(url, Client(), "Engine 1", False))  # type: ignore[arg-type]
    engine.obtain(run, install=False, say=print)
    assert not closed
    run.close()
    assert closed


def test_a_private_engine_shares_nothing_with_another(run: RunResources) -> None:
    command = engine.daemon_command(run, "unix:///x")
    assert command[:4] == ["unshare", "--mount", "--propagation", "private"]
    assert {"--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"} < set(command)
    paths = [word.partition("=")[2] for word in command if word.startswith(("--data-root", "--exec-root", "--pidfile"))]
    assert all(run.id in path for path in paths)
    assert "--userns-remap" not in " ".join(command)


def test_a_private_engine_can_map_users_where_the_kernel_can(
    run: RunResources, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    most, files = tmp_path / "max_user_namespaces", (tmp_path / "subuid", tmp_path / "subgid")
    monkeypatch.setattr(engine, "USER_NAMESPACES", most)
    monkeypatch.setattr(engine, "SUBORDINATES", files)
    for file in (most, *files):
        file.write_text("0")
    assert "--userns-remap" not in " ".join(engine.daemon_command(run, "unix:///x", map_users=True))
    most.write_text("1")
    command = engine.daemon_command(run, "unix:///x", map_users=True)
    user = pwd.getpwuid(65534).pw_name
    assert command[-1].startswith(f"--userns-remap={user}:")
    assert f"mount --bind {run.folder}/subordinates {files[0]}" in command[7]
    assert f"{user}:2000000000:65536\n" in (run.folder / "subordinates").read_text()
    files[1].unlink()
    assert "--userns-remap" not in " ".join(engine.daemon_command(run, "unix:///x", map_users=True))


def test_a_dockerd_that_dies_is_reported_with_its_last_line(
    run: RunResources, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(run_resources, "SOCKETS", tmp_path / "sockets")
    monkeypatch.setattr(engine, "daemon_command", lambda *_, **__: ["sh", "-c", "echo no such cgroup; exit 1"])
    with pytest.raises(Unobtainable, match="its last output: no such cgroup; run `dockerd --debug`"):
        engine.start(run)


def test_services_are_disabled_only_while_the_installer_lives(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    monkeypatch.setattr(apt_install, "POLICY", policy)
    with services_disabled():
        assert policy.stat().st_mode & stat.S_IXUSR
        assert subprocess.run([policy], check=False).returncode == 101
    assert not policy.exists()
    policy.write_text(POLICY_TEXT.format(pid=2**22 + 1))
    assert subprocess.run(["sh", policy], check=False).returncode == 0


def test_an_existing_policy_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("theirs")
    monkeypatch.setattr(apt_install, "POLICY", policy)
    with services_disabled():
        assert policy.read_text() == "theirs"
    assert policy.read_text() == "theirs"


# ------------------------------------------------------------------------------------------------------- container

ENGINE: Any = Engine("unix:///x", client=None, name="none", private=True, cgroup_parent="/worldswitch-x")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", profiles.available())
def test_every_cell_is_confined(name: str) -> None:
    profile = profiles.select([name])[0]
    made = container.settings(profile, ENGINE, "x")
    assert made["network_mode"] == "none"
    assert made["read_only"]
    assert made["init"] == profile.init
    assert "no-new-privileges:true" in made["security_opt"]
    assert made["pids_limit"] > 0
    assert made["mem_limit"] == made["memswap_limit"]
    assert "size=" in made["tmpfs"]["/tmp"]
    assert made["shm_size"]
    assert made["labels"][LABEL] == "x"


def test_all_capabilities_but_those_granted_are_dropped() -> None:
    by_name = {profile.name: container.settings(profile, ENGINE, "x") for profile in profiles.select([])}
    assert "cap_drop" not in by_name["docker-default"]
    assert (by_name["sys-ptrace"]["cap_drop"], by_name["sys-ptrace"]["cap_add"]) == (["ALL"], ["SYS_PTRACE"])
    assert (by_name["hardened"]["cap_drop"], by_name["hardened"]["cap_add"]) == (["ALL"], [])
    assert by_name["hardened"]["user"] == "65534:65534"


def test_namespaces_become_engine_options() -> None:
    by_name = {profile.name: profile for profile in profiles.select([profiles.ALL])}

    def asked(name: str, *companions: str) -> tuple[object, object]:
        made = container.settings(by_name[name], ENGINE, "x", *companions)
        return made["pid_mode"], made["userns_mode"]

    assert asked("hardened") == (None, "host")
    assert asked("host-pids") == ("host", "host")
    assert asked("shared-pids", "abc") == ("container:abc", "host")
    assert asked("user-namespace") == (None, "")


class FakeClient:
    """An engine whose container outputs these chunks and exits with 3."""

    def __init__(self, chunks: list[tuple[bytes | None, bytes | None]]) -> None:
        self.chunks = chunks
        self.api = self

    def attach(self, container: str, **_: object) -> Iterator[tuple[bytes | None, bytes | None]]:
        return iter(self.chunks)

    def start(self, container: str) -> None: ...

    def inspect_container(self, container: str) -> dict[str, dict[str, int]]:
        return {"State": {"Pid": 0}}

    def wait(self, container: str, timeout: float) -> dict[str, int]:
        return {"StatusCode": 3}


def test_lines_are_assembled_and_the_log_is_separate(monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[str] = []
    monkeypatch.setattr(container, "remove", lambda _, name: removed.append(name))
    chunks = [(b"one\ntw", None), (None, b"log 1\n"), (b"o\n", b"log 2\n"), (b"cut off", None)]
    client: Any = FakeClient(chunks)
    cell = container.ContainerCell(client, "unix:///nowhere", "x")
    assert list(cell.frames()) == [b"one\n", b"two\n", b"cut off\n"]
    assert cell.wait(5) == 3
    assert cell.log == "log 1\nlog 2\n"
    assert removed == ["x"]


def test_a_container_is_removed_before_its_companion(monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[str] = []
    monkeypatch.setattr(container, "remove", lambda _, name: removed.append(name))
    client: Any = FakeClient([])
    container.ContainerCell(client, "unix:///nowhere", "x", "its companion").wait(5)
    assert removed == ["x", "its companion"]


# ------------------------------------------------------------------------------------------------- image's contents


@pytest.mark.parametrize(
    ("name", "text", "key"),
    [
        ("a.sources", "Types: deb\nURIs: http://a/debian/\nSigned-By: /k/a.gpg\n\nURIs: http://b\n", "/k/a.gpg"),
        ("a.sources", "URIs: http://b\nSigned-By: /k/b.gpg\n\nURIs: http://a/debian\nSuites: x\n", ""),
        ("a.sources", "URIs: http://a/debian-security\nSigned-By: /k/b.gpg\n\nURIs: http://a/debian\n", ""),
        ("a.sources", "URIs: http://b http://a/debian/\nSigned-By:\n -----BEGIN PGP\n a/b=\n", ""),
        ("a.list", "deb [arch=amd64 signed-by=/k/a.gpg] http://a/debian x main\n", "/k/a.gpg"),
        ("a.list", "deb [signed-by=/k/a.gpg,/k/c.gpg] http://a/debian x main\n", "/k/a.gpg"),
        ("a.list", "deb [signed-by=/k/b.gpg] http://b/ x main\ndeb http://a/debian x main\n", ""),
    ],
)
def test_a_source_s_keyring_is_found(tmp_path: Path, name: str, text: str, key: str) -> None:
    (tmp_path / name).write_text(text)
    assert keyring(tmp_path / name, "http://a/debian/") == key


def test_the_newest_glibc_symbol_decides(tmp_path: Path) -> None:
    (tmp_path / "a.so").write_bytes(b"\0GLIBC_2.4\0GLIBC_2.34\0")
    (tmp_path / "b.abi3.so").write_bytes(b"\0GLIBC_2.9\0GLIBC_PRIVATE\0")
    assert site_packages.highest_glibc(tmp_path) == (2, 34)


def test_wheels_up_to_the_target_s_glibc_are_accepted() -> None:
    platforms = ImageTarget((3, 13), (2, 36), "x86_64").platforms
    assert platforms[0] == "manylinux_2_36_x86_64"
    assert platforms[-2:] == ["manylinux_2_17_x86_64", "manylinux2014_x86_64"]


def test_a_checkout_s_wheel_is_built_from_source_files_only() -> None:
    root = installation.checkout()
    assert root
    names = {str(path.relative_to(root)) for path in site_packages.source_files(root)}
    assert {
        "pyproject.toml",
        "harness/contract.py",
        "containers/Containerfile.cell",
        "reference/core/build.py",
    } <= names
    assert not [name for name in names if name.endswith((".so", ".pyc")) or "/_core.c" in name]


def test_concurrent_runs_use_one_wheel_and_one_copy_of_the_dependencies(
    run: RunResources, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = installation.checkout()
    assert root
    builds = itertools.count()
    both = threading.Barrier(2)

    def pip(action: str, *arguments: str, doing: str) -> None:
        with suppress(threading.BrokenBarrierError):
            both.wait(1)  # for the other run, if it builds too
        option = {"wheel": "--wheel-dir", "install": "--target"}[action]
        Path(arguments[arguments.index(option) + 1], "suite.whl").write_text(str(next(builds)))

    def made(_: int) -> tuple[str, str]:
        wheel = site_packages.wheel(run, root).read_text()
        folder = site_packages.dependencies(run, ImageTarget((3, 11), (2, 36), "x86_64"))
        return wheel, (folder / "suite.whl").read_text()

    monkeypatch.setattr(site_packages, "pip", pip)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(made, range(2))) == [("0", "1")] * 2


def test_a_run_s_results_do_not_change_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = installation.checkout()
    assert root
    site_packages.copy_source(root, tmp_path / "copy")
    monkeypatch.setattr(installation, "checkout", lambda: tmp_path / "copy")
    before = site_packages.key()
    (tmp_path / "copy" / "results" / "today").mkdir(parents=True)
    (tmp_path / "copy" / "results" / "today" / "host.json").write_text("{}")
    assert site_packages.key() == before
    (tmp_path / "copy" / "harness" / "verdict.py").write_text("changed")
    assert site_packages.key() != before
