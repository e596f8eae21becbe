"""Kernels: the list and all that can be wrong with one, images, and how a kernel is had by name."""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from worldswitch.harness.cell_name import CellName
from worldswitch.harness.cli import main
from worldswitch.harness.environments.images import deb_packages
from worldswitch.harness.environments.images.deb_packages import Package
from worldswitch.harness.environments.kernels import fetch as shelf
from worldswitch.harness.environments.kernels import image as kernel
from worldswitch.harness.environments.kernels import known
from worldswitch.harness.environments.kernels.fetch import KernelFetcher, Lacking
from worldswitch.harness.environments.kernels.known import Entry, ManifestError
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.run.request import Request

GOOD = """\
[[kernel]]
name = "6.1"
package = "linux-image-VERSION-cloud-amd64"
suites = ["bookworm"]
layout = "boot/vmlinuz-*"

[[kernel]]
name = "6.12"
package = "linux-image-VERSION-cloud-amd64"
suites = ["trixie", "bookworm-backports"]
layout = "boot/vmlinuz-*"
"""


def image(release: str = "6.12.94-cloud") -> bytes:
    """What a bzImage of this release begins with."""
    text = f"{release} (somebody@somewhere) #1 SMP".encode() + b"\0"
    place = 0x400
    head = bytearray(place + 0x200 + len(text))
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x20E, place)
    head[place + 0x200 :] = text
    return bytes(head)


# -------------------------------------------------------------------------------------------------------------- list


def test_the_list_of_the_package_has_eleven_kernels_oldest_first() -> None:
    names = [entry.name for entry in known.load()]
    assert names == ["5.10", "6.1", "6.12", "6.16", "6.17", "6.18", "6.19", "7.0", "7.1", "7.2", "7.3"]


def test_a_package_is_named_by_any_version_and_gives_its_own() -> None:
    entry = known.load()[1]
    assert entry.pattern == "linux-image-6.1.*-cloud-amd64"
    assert entry.version_of("linux-image-6.1.0-50-cloud-amd64") == "6.1.0-50"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (GOOD, "", "kernel: object missing required field"),
        (GOOD, "kernel = []", "kernel: expected `array` of length >= 1"),
        (GOOD, "[[kernel", "not TOML"),
        (GOOD, "kernel = 6", "kernel: expected `array`"),
        ('name = "6.12"', "", "entry 2: name: object missing required field"),
        ('name = "6.12"', "name = 6.12", "entry 2: name: expected `str`, got `float`"),
        ('name = "6.12"', 'name = "6.12.4"', "entry 2: name: expected `str` matching regex"),
        ('name = "6.12"', 'name = "6.1"', "6.1: name: there are two entries of this name"),
        ('name = "6.12"', 'name = "5.10"', "5.10: name: stands behind 6.1; the oldest comes first"),
        ('package = "linux-image-VERSION-cloud-amd64"', "", "entry 1: package: object missing"),
        ("VERSION", "6.1", "6.1: package: 'linux-image-6.1-cloud-amd64' must have VERSION in it, once"),
        ("VERSION", "VERSION-VERSION", "must have VERSION in it, once"),
        ("linux-image", "Linux image", "entry 1: package: expected `str` matching regex"),
        ('["bookworm"]', "[]", "entry 1: suites: expected `array` of length >= 1"),
        ('["bookworm"]', '"bookworm"', "entry 1: suites: expected `array`"),
        ('["bookworm"]', '["a b"]', "entry 1: suites: expected `str` matching regex"),
        ('["bookworm"]', '["a", "a"]', "6.1: suites: names a suite twice"),
        ("boot/vmlinuz-*", "/boot/vmlinuz-*", "6.1: layout: '/boot/vmlinuz-*' must be a path within the package"),
        ("boot/vmlinuz-*", "../vmlinuz-*", "6.1: layout: '../vmlinuz-*' must be a path within the package"),
        ("boot/vmlinuz-*", "", "entry 1: layout: expected `str` of length >= 1"),
        ("layout =", "lay_out =", "entry 1: lay_out: object contains unknown field"),
        ('["bookworm"]', '["bookworm"]\nlong_term = "yes"', "entry 1: long_term: expected `bool`"),
    ],
)
def test_what_is_wrong_with_a_list_is_said_with_file_entry_field_and_reason(
    old: str, new: str, words: str, tmp_path: Path
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ManifestError) as caught:
        known.load(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda file: None, "cannot be read: No such file"),
        (lambda file: file.mkdir(), "cannot be read: Is a directory"),
        (lambda file: file.write_bytes(b"\xff\xfe"), "not TOML"),
    ],
)
def test_a_list_that_is_no_text_is_refused(make: Callable[[Path], object], words: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    make(file)
    with pytest.raises(ManifestError, match=words):
        known.load(file)


def test_a_good_list_is_read(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(GOOD)
    assert [entry.minor for entry in known.load(file)] == [(6, 1), (6, 12)]


# ------------------------------------------------------------------------------------------------------------- images


def test_an_image_says_its_release(tmp_path: Path) -> None:
    file = tmp_path / "bzImage"
    file.write_bytes(image("6.18.3-mine"))
    found = kernel.from_file(file)
    assert (found.name, found.release, found.environment) == ("6.18.3-mine", "6.18.3-mine", "linux-6.18.3-mine")
    assert found.facts["kernel"] == "6.18.3-mine"
    assert found.facts["kernel_package"] == "none: a file of the user's"
    assert len(found.facts["kernel_sha256"]) == 64


@pytest.mark.parametrize(
    "content", [b"", b"\x7fELF" + bytes(4096), image().replace(b"HdrS", b"none"), image()[:0x300], bytes(0x210)]
)
def test_what_is_no_image_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "bzImage"
    file.write_bytes(content)
    with pytest.raises(Unobtainable, match="has no bzImage header"):
        kernel.from_file(file)


def test_an_image_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unobtainable, match="cannot be read: No such file"):
        kernel.from_file(tmp_path / "bzImage")


# ------------------------------------------------------------------------------------------------------------ by name


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """A mirror that has a package for each pattern here, with a file in it."""
    has = {"linux-image-6.12.*-cloud-amd64": "boot/vmlinuz-6.12.94-cloud"}

    def fetch(pattern: str, suites: object, say: object) -> Package:
        if pattern not in has:
            raise Unobtainable(f"the Debian mirror has no {pattern}", "wait")
        return Package("linux-image-6.12.94-cloud-amd64", "6.12.94-1", "trixie", "5a", tmp_path / pattern)

    def unpack(package: Package, folder: Path) -> None:
        file = folder / has[package.path.name]
        file.parent.mkdir(parents=True)
        file.write_bytes(image())

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(deb_packages, "fetch", fetch)
    monkeypatch.setattr(deb_packages, "unpack", unpack)
    return has


def ignore(line: str) -> None:
    """Say it to nobody."""


def test_a_kernel_is_had_by_its_name_and_is_unpacked_once(
    mirror: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = shelf.obtain("6.12", ignore)
    assert (found.name, found.release) == ("6.12", "6.12.94-cloud")
    assert found.package == "linux-image-6.12.94-cloud-amd64 6.12.94-1 from trixie, sha256 5a"
    monkeypatch.setattr(deb_packages, "unpack", None)
    assert shelf.obtain("6.12", ignore) == found


def test_a_certain_version_is_asked_for_by_itself(mirror: dict[str, str]) -> None:
    mirror["linux-image-6.12.94+deb13-cloud-amd64"] = "boot/vmlinuz-6.12.94-cloud"
    assert shelf.obtain("6.12.94+deb13", ignore).environment == "linux-6.12.94+deb13"


def test_a_kernel_that_nobody_lists_is_told_from_those_that_are(mirror: dict[str, str]) -> None:
    with pytest.raises(Unobtainable, match=r"no kernel is called 6\.2: there are 5\.10, "):
        shelf.obtain("6.2", ignore)


def test_a_package_that_is_laid_out_otherwise_says_what_it_has(mirror: dict[str, str], tmp_path: Path) -> None:
    mirror["linux-image-6.12.*-cloud-amd64"] = "usr/lib/modules/6.12/vmlinuz"
    with pytest.raises(Unobtainable, match=r"has 0 files boot/vmlinuz-\*.*it has usr/lib/modules/6.12/vmlinuz"):
        shelf.obtain("6.12", ignore)
    assert not list((tmp_path / "worldswitch" / "kernels").iterdir())


def test_kernels_come_in_the_background_and_what_cannot_be_had_says_why(mirror: dict[str, str], tmp_path: Path) -> None:
    mine = tmp_path / "bzImage"
    mine.write_bytes(image("6.18.3-mine"))
    with KernelFetcher(["6.12", "7.3", str(mine), "6.12"], ignore) as kernels:
        first, second, third = kernels.all()
        assert kernels.get("6.12") is first
    assert isinstance(second, Lacking)
    assert second.problem.reason == "the Debian mirror has no linux-binary-7.3.*-cloud-amd64"
    assert not isinstance(third, Lacking)
    assert third.name == "6.18.3-mine"
    assert kernels.names == ("6.12", "7.3", "6.18.3-mine")


def test_a_file_that_is_no_kernel_and_a_second_of_one_name_say_why(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("mine", "a/mine"):
        (tmp_path / name).write_bytes(image("6.18.3-mine"))
    (tmp_path / "none").write_bytes(b"")
    with KernelFetcher([str(tmp_path / name) for name in ("none", "mine", "a/mine")], ignore) as kernels:
        none, mine, other = kernels.all()
    assert isinstance(none, Lacking)
    assert none.name == "none"
    assert not isinstance(mine, Lacking)
    assert isinstance(other, Lacking)
    assert "there are two kernels of the name 6.18.3-mine" in other.problem.reason


def test_a_kernel_of_ones_own_is_repeated_by_its_path(tmp_path: Path) -> None:
    mine = tmp_path / "bzImage"
    mine.write_bytes(image("6.18.3-mine"))
    request = Request(kernels=("6.12", "./gone", str(mine)))
    cell = CellName("linux-6.18.3-mine:hardened")
    assert f"--kernel {mine} --profile hardened" in request.again(cell, "signals::a_sentence")
    assert "--kernel 6.12 " in request.again(CellName("linux-6.12"), "signals::a_sentence")


# ----------------------------------------------------------------------------------------------------------- commands


def test_what_came_is_told_and_what_cannot_be_had_makes_for_a_status(
    mirror: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["kernels", "fetch", "6.12"]) == 0
    assert "6.12: 6.12.94-cloud\n  linux-image-6.12.94-cloud-amd64 6.12.94-1" in capsys.readouterr().out
    assert main.main(["kernels", "fetch", "6.12", "7.3"]) == 2
    assert "7.3: not available: the Debian mirror has no linux-binary-7.3" in capsys.readouterr().out
    assert main.main(["kernels", "fetch", "6.12", "7.3", "--json"]) == 2
    first, second = json.loads(capsys.readouterr().out)
    assert first["kernel"] == "6.12.94-cloud"
    assert second["remedy"] == "wait"


def test_the_list_says_what_is_kept(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = Package("linux-image-6.12.94+deb13-cloud-amd64", "6.12.94-1", "trixie", "5a", tmp_path)
    monkeypatch.setattr(deb_packages, "kept", lambda: [package])
    assert main.main(["kernels", "list", "--json"]) == 0
    rows = {row["name"]: row["kept"] for row in json.loads(capsys.readouterr().out)}
    assert (rows["6.12"], rows["6.1"]) == ("6.12.94+deb13", "")
    assert main.main(["kernels", "list"]) == 0
    assert "6.12.94+deb13" in capsys.readouterr().out


def test_a_list_of_ones_own_is_used_and_what_is_wrong_with_it_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(GOOD)
    monkeypatch.setenv(known.LIST, str(file))
    assert [entry.name for entry in known.load()] == ["6.1", "6.12"]
    file.write_text(GOOD.replace("6.12", "6.1"))
    assert main.main(["kernels", "list"]) == 2
    assert f"worldswitch kernels: {file}: 6.1: name: there are two" in capsys.readouterr().err


def test_who_waits_for_a_kernel_is_told_when_nobody_fetches_it_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    hold = threading.Event()
    monkeypatch.setattr(shelf, "obtain", lambda name, say: hold.wait(10) and None)
    with KernelFetcher(["6.12", "7.3"], ignore) as kernels:
        threading.Timer(0.05, kernels.close).start()
        with pytest.raises(Unobtainable, match=r"7\.3 is not waited for"):
            kernels.get("7.3")
    hold.set()


def test_names_with_a_slash_are_files() -> None:
    assert shelf.is_file("./bzImage")
    assert not shelf.is_file("6.12")
    assert isinstance(shelf.entry_of("6.12.94+deb13"), Entry)
