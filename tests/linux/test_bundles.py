"""Devices and volumes of a bundle, completed on the machine that runs the container."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from worldswitch.harness.linux import bundles


def completed(tmp_path: Path, **linux: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"linux": linux}
    bundles.complete(made, tmp_path, tmp_path)
    found: dict[str, Any] = made["linux"]
    return found


def device(source: str, path: str, access: str = "rwm") -> dict[str, str]:
    return {"from": source, "path": path, "access": access}


def test_a_device_has_the_numbers_and_owner_of_the_machine_s(tmp_path: Path) -> None:
    (found,) = completed(tmp_path, devices=[device("/dev/null", "/dev/mine")])["devices"]
    status = Path("/dev/null").stat()
    assert found == {
        "path": "/dev/mine",
        "type": "c",
        "major": 1,
        "minor": 3,
        "fileMode": status.st_mode & 0o7777,
        "uid": status.st_uid,
        "gid": status.st_gid,
    }


def test_a_device_s_access_is_a_rule_of_its_control_group(tmp_path: Path) -> None:
    found = completed(tmp_path, devices=[device("/dev/zero", "/dev/zero", "r")], resources={"devices": []})
    rule = {"allow": True, "access": "r", "type": "c", "major": 1, "minor": 5}
    assert found["resources"]["devices"] == [rule]


def test_in_a_user_namespace_a_device_is_a_bind_mount(tmp_path: Path) -> None:
    linux = {"uidMappings": [{"hostID": 7}], "gidMappings": [{"hostID": 7}], "resources": {"devices": []}}
    made: dict[str, Any] = {"mounts": [], "linux": {**linux, "devices": [device("/dev/null", "/dev/mine")]}}
    bundles.complete(made, tmp_path, tmp_path)
    bind = {"destination": "/dev/mine", "type": "bind", "source": "/dev/null", "options": ["bind", "rprivate"]}
    assert made["mounts"] == [bind]
    assert "devices" not in made["linux"]
    assert made["linux"]["resources"]["devices"][0]["major"] == 1


def test_a_folder_stands_for_every_device_in_it(tmp_path: Path) -> None:
    found = {one["path"] for one in completed(tmp_path, devices=[device("/dev", "/dev")])["devices"]}
    assert found >= {"/dev/null", "/dev/zero", "/dev/urandom"}
    assert not any(path.startswith(("/dev/pts/", "/dev/shm/", "/dev/fd")) for path in found)


def test_an_absent_device_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file") as caught:
        completed(tmp_path, devices=[device("/dev/none", "/dev/none")])
    assert caught.value.filename == "/dev/none"
    with pytest.raises(OSError, match="not a device"):
        completed(tmp_path, devices=[device("/etc/passwd", "/dev/x")])


def test_without_devices_and_volumes_a_specification_is_unchanged(tmp_path: Path) -> None:
    mounts = [{"source": "proc", "destination": "/proc"}]
    made = {"mounts": [*mounts], "linux": {"resources": {"devices": [1]}}}
    bundles.complete(made, tmp_path, tmp_path)
    assert made == {"mounts": mounts, "linux": {"resources": {"devices": [1]}}}
    assert list(tmp_path.iterdir()) == []


def test_targets_of_mounts_are_made_in_the_root_and_nowhere_else(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "away").symlink_to(tmp_path)
    sources = {"/a/b": "tmpfs", "/etc/file": __file__, "/away/c": "tmpfs", "/proc": "proc"}
    mounts = [{"destination": target, "source": source} for target, source in sources.items()]
    bundles.complete({"mounts": mounts}, tmp_path, root)
    assert (root / "a/b").is_dir()
    assert (root / "etc/file").is_file()
    assert sorted(path.name for path in root.iterdir()) == ["a", "away", "etc"]
    assert [path.name for path in tmp_path.iterdir()] == ["root"]


def test_a_volume_is_a_folder_of_the_bundle_with_the_mode_of_the_image_s(tmp_path: Path) -> None:
    root, bundle = tmp_path / "root", tmp_path / "bundle"
    (root / "open").mkdir(parents=True)
    (root / "open").chmod(0o1777)
    bundle.mkdir()
    mounts = [{"source": "volume-0", "destination": "/open"}, {"source": "volume-1", "destination": "/new"}]
    bundles.complete({"mounts": [*mounts, {"source": "/a", "destination": "/a"}]}, bundle, root)
    assert {path.name: path.stat().st_mode & 0o7777 for path in bundle.iterdir()} == {
        "volume-0": 0o1777,
        "volume-1": 0o755,
    }


def test_a_volume_belongs_to_the_container_s_root(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    mapping = [{"containerID": 0, "hostID": 4242, "size": 1}]
    linux = {"uidMappings": mapping, "gidMappings": mapping}
    mounts = [{"source": "volume-0", "destination": "/new"}]
    bundles.complete({"mounts": mounts, "linux": linux}, tmp_path, tmp_path)
    assert (tmp_path / "volume-0").stat().st_uid == 4242
