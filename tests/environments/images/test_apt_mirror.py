"""Packages of other releases are fetched from a signed mirror only, identified exactly, cached and not installed."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from debian_mirror import Debian

from worldswitch.harness.environments.cache import cache
from worldswitch.harness.environments.images import apt_mirror, deb_packages
from worldswitch.harness.environments.images.apt import Source
from worldswitch.harness.errors import Unobtainable


@pytest.fixture
def debian(key: Debian, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Debian:
    for folder in ("dists", "pool", "tree"):
        shutil.rmtree(key.folder / folder, ignore_errors=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv(apt_mirror.MIRROR, f"file:{key.folder}")
    monkeypatch.setattr(apt_mirror, "KEYRING", key.ring)
    return key


def ignore(line: str) -> None:
    """Drop the message."""


def age() -> None:
    """Make every index too old to be used without an update."""
    for done in cache("apt").glob("*/updated"):
        os.utime(done, (0, 0))


def test_the_newest_version_of_the_first_suite_with_the_package_is_fetched(debian: Debian, tmp_path: Path) -> None:
    debian.has("first", ("other", "1"))
    debian.has("second", ("linux-6.9-cloud", "6.9-1"), ("linux-6.10-cloud", "6.10-1"), ("linux-7.0", "7.0-1"))
    found = deb_packages.fetch("linux-*-cloud", ["first", "second"], ignore)
    assert (found.name, found.version, found.suite) == ("linux-6.10-cloud", "6.10-1", "second")
    assert hashlib.sha256(found.path.read_bytes()).hexdigest() == found.sha256
    deb_packages.unpack(found.path, tmp_path / "tree")
    assert (tmp_path / "tree" / "boot" / "what").read_text() == "linux-6.10-cloud 6.10-1"
    assert not (debian.folder / "installed").exists()


def test_a_cached_package_is_used_without_the_mirror(debian: Debian, monkeypatch: pytest.MonkeyPatch) -> None:
    debian.has("first", ("linux-6.9", "6.9-1"))
    before = deb_packages.fetch("linux-*", ["first"], ignore)
    monkeypatch.setenv(apt_mirror.MIRROR, "file:/nowhere")
    age()
    said: list[str] = []
    assert deb_packages.fetch("linux-*", ["first"], said.append) == before
    assert "the index cannot be renewed" in said[1]
    shutil.rmtree(cache("apt"))
    assert deb_packages.fetch("linux-*", ["first"], said.append) == before
    assert said[-1].endswith("using linux-6.9 6.9-1 from the cache")


def test_a_cached_package_replaces_one_that_the_mirror_dropped(debian: Debian) -> None:
    debian.has("first", ("linux-6.9", "6.9-1"))
    before = deb_packages.fetch("linux-*", ["first"], ignore)
    debian.has("first", ("linux-6.9", "6.9-1"), ("linux-6.10", "6.10-1"))
    (debian.folder / "pool" / "linux-6.10_6.10-1_amd64.deb").unlink()
    age()
    said: list[str] = []
    assert deb_packages.fetch("linux-*", ["first"], said.append) == before
    assert "linux-6.10_6.10-1_amd64.deb cannot be downloaded" in said[-1]


def test_a_suite_with_a_tampered_index_is_refused(debian: Debian) -> None:
    debian.has("first", ("linux-6.9", "6.9-1"))
    signed = debian.folder / "dists" / "first" / "InRelease"
    signed.write_text(signed.read_text().replace("Components: main", "Components: main other"))
    with pytest.raises(Unobtainable, match="the index of first cannot be fetched"):
        deb_packages.fetch("linux-*", ["first"], ignore)


def test_a_file_that_differs_from_the_index_is_refused(debian: Debian) -> None:
    debian.has("first", ("linux-6.9", "6.9-1"))
    file = debian.folder / "pool" / "linux-6.9_6.9-1_amd64.deb"
    file.write_bytes(file.read_bytes().replace(b"linux", b"xinul"))
    with pytest.raises(Unobtainable, match=r"cannot be downloaded: .*(Hash|hash|size)"):
        deb_packages.fetch("linux-*", ["first"], ignore)
    assert deb_packages.kept() == []


def test_a_damaged_cached_file_is_fetched_again(debian: Debian) -> None:
    debian.has("first", ("linux-6.9", "6.9-1"))
    before = deb_packages.fetch("linux-*", ["first"], ignore)
    before.path.write_bytes(b"nothing")
    assert deb_packages.kept() == []
    assert deb_packages.fetch("linux-*", ["first"], ignore) == before
    assert deb_packages.kept() == [before]


def test_an_expired_index_is_used_with_a_message(debian: Debian) -> None:
    debian.has("first", ("linux-6.9", "6.9-1"), valid=-60)
    said: list[str] = []
    deb_packages.fetch("linux-*", ["first"], said.append)
    assert any("first: the index expired on" in line for line in said)


def test_a_fresh_index_is_not_fetched_again(debian: Debian) -> None:
    debian.has("first", ("linux-6.9", "6.9-1"))
    deb_packages.fetch("linux-*", ["first"], ignore)
    said: list[str] = []
    deb_packages.fetch("linux-*", ["first"], said.append)
    assert said == []


@pytest.fixture
def dpkg_lock() -> Iterator[None]:
    """Have another process hold the lock that apt takes in the folder of /dev/null, as far as this user can."""
    if os.geteuid() != 0:
        yield  # an ordinary user cannot take it either
        return
    with open("/dev/lock-frontend", "w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        yield


@pytest.mark.usefixtures("dpkg_lock")
def test_packages_are_gathered_without_a_lock_of_the_machine(debian: Debian, tmp_path: Path) -> None:
    debian.has("first", ("linux-6.9", "6.9-1"))
    where = [Source(f"file:{debian.folder}", "first", str(debian.ring))]
    for suite in (apt_mirror.MirrorSuite("first", ignore), apt_mirror.MirrorSuite("first", ignore, where)):
        suite.gather(["linux-6.9"], tmp_path / "files")
        (tmp_path / "files" / "linux-6.9_6.9-1_amd64.deb").unlink()
    assert not (debian.folder / "installed").exists()


def test_a_package_that_no_suite_has_is_named(debian: Debian) -> None:
    debian.has("first", ("linux-6.9", "6.9-1"))
    with pytest.raises(Unobtainable, match="the Debian mirror has no linux-9"):
        deb_packages.fetch("linux-9.*", ["first"], ignore)


def test_all_packages_are_offered_and_unreadable_suites_are_named(debian: Debian) -> None:
    debian.has("first", ("linux-6.9", "6.9-1"), ("linux-6.10", "6.10-1"))
    said: list[str] = []
    found = deb_packages.offers("linux-*", ["away", "first"], said.append)
    assert [offer.version for offer in found] == ["6.10-1", "6.9-1"]
    assert said[1].startswith("away is skipped: the index of away cannot be fetched")


def test_on_another_distribution_the_error_says_how_to_set_a_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(apt_mirror.MIRROR, raising=False)
    monkeypatch.setattr(apt_mirror.platform, "freedesktop_os_release", lambda: {"ID": "fedora"})
    with pytest.raises(Unobtainable, match="set WORLDSWITCH_DEBIAN_MIRROR="):
        apt_mirror.mirror()
