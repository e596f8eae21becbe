"""A root file system: a private apt fetches packages, which are unpacked."""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from worldswitch.harness.environments.images import apt_mirror, rootfs
from worldswitch.harness.environments.images.apt import Source
from worldswitch.harness.environments.run_resources import RunResources
from worldswitch.harness.errors import Unobtainable

WHERE = [Source("http://mirror", "bookworm", "")]
FILES = {
    "python": ("usr/bin/python3", "lib64/ld.so"),
    "shell": ("bin/sh", "lib64/other.so", "usr/share/doc/shell/long"),
}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[RunResources]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = RunResources.create()
    yield made
    made.close()


def package(name: str, files: Sequence[str], to: Path, work: Path) -> None:
    for file in files:
        (work / name / file).parent.mkdir(parents=True, exist_ok=True)
        (work / name / file).write_text(name)
    control = work / name / "DEBIAN/control"
    control.parent.mkdir()
    control.write_text(f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: me\nDescription: -\n")
    subprocess.run(["dpkg-deb", "--build", work / name, to / f"{name}.deb"], check=True, stdout=subprocess.DEVNULL)


def test_packages_are_unpacked_over_each_other(
    run: RunResources, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def gather(suite: apt_mirror.MirrorSuite, names: Sequence[str], folder: Path) -> None:
        assert (suite.name, names) == ("bookworm", rootfs.PACKAGES)
        for name, files in FILES.items():
            package(name, files, folder, tmp_path)

    monkeypatch.setattr(apt_mirror.MirrorSuite, "gather", gather)
    with tarfile.open(rootfs.obtain(WHERE, run, print)) as tar:
        names = {name.removeprefix("./") for name in tar.getnames()}
        assert tar.getmember("./lib64").linkname == "usr/lib64"
        assert {tar.getmember(name).uid for name in tar.getnames()} == {0}
    assert {"usr/bin/python3", "usr/bin/sh", "usr/lib64/ld.so", "usr/lib64/other.so"} <= names
    assert "usr/share/doc" not in names


def test_modes_do_not_depend_on_the_user_s_umask(run: RunResources, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apt_mirror.MirrorSuite, "gather", lambda *_: None)
    before = os.umask(0o077)
    try:
        made = rootfs.obtain(WHERE, run, print)
    finally:
        os.umask(before)
    with tarfile.open(made) as tar:
        assert {oct(tar.getmember(f"./usr/{name}").mode) for name in rootfs.MERGED} == {"0o755"}


def test_a_damaged_package_is_named(run: RunResources, monkeypatch: pytest.MonkeyPatch) -> None:
    def gather(_: apt_mirror.MirrorSuite, names: Sequence[str], folder: Path) -> None:
        (folder / "shell.deb").write_text("no archive")

    monkeypatch.setattr(apt_mirror.MirrorSuite, "gather", gather)
    with pytest.raises(Unobtainable, match=r"shell\.deb cannot be unpacked: .*dpkg-deb"):
        rootfs.obtain(WHERE, run, print)
