"""The image as a tree: its contents, its equality with the engine's image, and its lifetime."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from worldswitch.harness.environments.docker import image
from worldswitch.harness.environments.images import chroot, containerfile, rootfs, site_packages, tree
from worldswitch.harness.environments.images.apt import Source
from worldswitch.harness.environments.images.site_packages import ImageTarget
from worldswitch.harness.environments.run_resources import RunResources
from worldswitch.harness.errors import Unobtainable

ANSWER = json.dumps({"python": [3, 11], "libc": "glibc 2.36", "machine": "x86_64"})


pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Sequence[str]]:
    """Fakes a base of three entries and a site of one file; records the commands run in the tree."""
    base, ran = tmp_path / "base.tar", []

    def command(root: Path, command: Sequence[str], *, doing: str) -> str:
        ran.append(command)
        return ANSWER

    def assemble(holding: RunResources, target: ImageTarget, built: Path | None) -> Path:
        site = holding.scratch() / "site"
        site.mkdir()
        (site / "suite.py").touch(0o600)
        return site

    base.write_bytes(
        packed({"./dev/null": tarfile.CHRTYPE, "./bin/python3": tarfile.REGTYPE, f"./{tree.TINI}": tarfile.REGTYPE})
    )
    monkeypatch.setattr(tree, "sources", lambda: [Source("http://mirror", "suite", "")])
    monkeypatch.setattr(rootfs, "obtain", lambda *_: base)
    monkeypatch.setattr(chroot, "run", command)
    monkeypatch.setattr(site_packages, "assemble", assemble)
    monkeypatch.setattr(site_packages, "wheel", lambda *_: None)
    return ran


def packed(entries: dict[str, bytes]) -> bytes:
    """Return a tar file with these names and types."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, kind in entries.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = kind, 0o4755
            tar.addfile(entry)
    return content.getvalue()


def ignore(line: str) -> None:
    """Drop the message."""


def test_the_containerfile_s_steps_are_run(commands: list[Sequence[str]], run: RunResources) -> None:
    made = tree.obtain(run, ignore)
    said = containerfile.read(containerfile.containerfile())
    assert commands[0][:3] == ["python3", "-B", "-c"]
    assert tuple(commands[1:]) == said.commands
    assert said.commands[0][:3] == ("python3", "-m", "compileall")
    assert made.environment == (chroot.PATH, *said.environment)
    assert "PYTHONPATH=/opt/worldswitch" in made.environment
    assert made.folder == "/tmp"


def test_a_tree_has_the_base_the_suite_and_mount_points(commands: list[Sequence[str]], run: RunResources) -> None:
    made = tree.obtain(run, ignore).path
    assert (made / "bin/python3").stat().st_mode & 0o7777 == 0o4755
    assert (made / "opt/worldswitch/suite.py").stat().st_mode & 0o7777 == 0o644
    assert not (made / "dev/null").exists()
    assert all((made / name).is_dir() for name in ("dev/pts", "dev/shm", "proc", "sys", "tmp"))
    assert (made / "tmp").stat().st_mode & 0o1000
    assert (made / "etc/hosts").is_file()


def test_the_tree_and_the_engine_s_image_on_one_base_have_one_name(
    commands: list[Sequence[str]], run: RunResources
) -> None:
    made = tree.obtain(run, ignore)
    assert image._image_name(made.base) == f"worldswitch:{made.id}"


def test_a_tree_is_made_once(commands: list[Sequence[str]], run: RunResources) -> None:
    first = tree.obtain(run, ignore)
    made = len(commands)
    assert tree.obtain(run, ignore) == first
    assert len(commands) == made


def test_a_tree_s_tar_is_reproducible(commands: list[Sequence[str]], run: RunResources, tmp_path: Path) -> None:
    made = tree.obtain(run, ignore)
    first = made.tar(tmp_path / "1.tar").read_bytes()
    (made.path / "etc/hosts").touch()
    assert made.tar(tmp_path / "2.tar").read_bytes() == first
    with tarfile.open(tmp_path / "1.tar") as tar:
        assert "opt/worldswitch/suite.py" in tar.getnames()


def test_trees_in_use_and_a_few_others_are_kept(commands: list[Sequence[str]], run: RunResources, cache: Path) -> None:
    for name in "abcde":
        (cache / "tree" / name).mkdir(parents=True)
    used = tree.obtain(run, ignore).id
    left = {path.name for path in (cache / "tree").iterdir() if path.is_dir()}
    assert used in left
    assert len(left) == 1 + tree.KEPT


def test_a_base_with_entries_outside_of_the_tree_is_refused(
    commands: list[Sequence[str]], run: RunResources, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bad.tar").write_bytes(packed({"../outside": tarfile.REGTYPE}))
    monkeypatch.setattr(rootfs, "obtain", lambda *_: tmp_path / "bad.tar")
    with pytest.raises(Unobtainable, match=r"cannot be unpacked: '\.\./outside'"):
        tree.obtain(run, ignore)


def test_a_python_whose_tarfile_has_no_filters_makes_a_tree(
    commands: list[Sequence[str]], run: RunResources, monkeypatch: pytest.MonkeyPatch
) -> None:
    def extractall(self: tarfile.TarFile, path: Path, members: Any = None, *, numeric_owner: bool = False) -> None:
        original(self, path, members, numeric_owner=numeric_owner)

    original = tarfile.TarFile.extractall
    monkeypatch.setattr(tarfile.TarFile, "extractall", extractall)  # as in Python 3.11.2, which Debian 12 has
    monkeypatch.delattr(tarfile, "tar_filter", raising=False)
    made = tree.obtain(run, ignore)
    assert not any(path.is_block_device() or path.is_char_device() for path in made.path.rglob("*"))


def test_a_package_for_a_newer_c_library_is_refused(
    commands: list[Sequence[str]], run: RunResources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_packages, "highest_glibc", lambda _: (2, 40))
    with pytest.raises(Unobtainable, match=r"needs glibc 2\.40, the image has 2\.36"):
        tree.obtain(run, ignore)


def test_a_command_that_fails_inside_names_its_step(tmp_path: Path) -> None:
    with pytest.raises(Unobtainable, match="trying it out failed"):
        chroot.run(tmp_path / "nowhere", ["true"], doing="trying it out")
