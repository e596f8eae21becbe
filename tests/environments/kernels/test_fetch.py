"""Kernels: the list and its errors, images, and fetching by name."""

from __future__ import annotations

import json
import os
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
from worldswitch.harness.environments.kernels.fetch import KernelFetcher, UnavailableKernel
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
    """Return the header of a bzImage of this release."""
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


def test_a_pattern_matches_any_version_and_the_package_reveals_it() -> None:
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
        ('name = "6.12"', 'name = "6.1"', "6.1: name: two entries have this name"),
        ('name = "6.12"', 'name = "5.10"', "5.10: name: follows 6.1; the oldest must come first"),
        ('package = "linux-image-VERSION-cloud-amd64"', "", "entry 1: package: object missing"),
        ("VERSION", "6.1", "6.1: package: 'linux-image-6.1-cloud-amd64' must contain VERSION once"),
        ("VERSION", "VERSION-VERSION", "must contain VERSION once"),
        ("linux-image", "Linux image", "entry 1: package: expected `str` matching regex"),
        ('["bookworm"]', "[]", "entry 1: suites: expected `array` of length >= 1"),
        ('["bookworm"]', '"bookworm"', "entry 1: suites: expected `array`"),
        ('["bookworm"]', '["a b"]', "entry 1: suites: expected `str` matching regex"),
        ('["bookworm"]', '["a", "a"]', "6.1: suites: contains a suite twice"),
        (
            "boot/vmlinuz-*",
            "/boot/vmlinuz-*",
            "6.1: layout: '/boot/vmlinuz-*' must be a relative path inside the package",
        ),
        ("boot/vmlinuz-*", "../vmlinuz-*", "6.1: layout: '../vmlinuz-*' must be a relative path inside the package"),
        ("boot/vmlinuz-*", "", "entry 1: layout: expected `str` of length >= 1"),
        ("layout =", "lay_out =", "entry 1: lay_out: object contains unknown field"),
        ('["bookworm"]', '["bookworm"]\nlong_term = "yes"', "entry 1: long_term: expected `bool`"),
    ],
)
def test_an_invalid_list_is_reported_with_file_entry_field_and_reason(
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
        (lambda file: file.mkdir(), "cannot be read: it is a directory"),
        (lambda file: file.write_bytes(b"\xff\xfe"), "not TOML"),
    ],
)
def test_a_list_that_is_not_text_is_refused(make: Callable[[Path], object], words: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    make(file)
    with pytest.raises(ManifestError, match=words):
        known.load(file)


def test_a_good_list_is_read(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(GOOD)
    assert [entry.minor for entry in known.load(file)] == [(6, 1), (6, 12)]


# ------------------------------------------------------------------------------------------------------------- images


def test_the_release_is_read_from_an_image(tmp_path: Path) -> None:
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
def test_data_that_is_not_an_image_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "bzImage"
    file.write_bytes(content)
    with pytest.raises(Unobtainable, match="has no bzImage header"):
        kernel.from_file(file)


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path, kind in ((tmp_path / "fifo", "pipe"), (Path("/dev/zero"), "device"), (tmp_path, "directory")):
        with pytest.raises(Unobtainable, match=f"the kernel {path} cannot be read: it is a {kind}"):
            kernel.from_file(path)


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(Unobtainable, match="sparse cannot be read: it is larger than 512 MiB"):
        kernel.from_file(tmp_path / "sparse")


def test_an_image_for_arm64_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "Image").write_bytes(bytes(0x38) + b"ARM\x64" + bytes(4096))
    with pytest.raises(Unobtainable, match="Image is not an x86-64 kernel image: it is one for arm64"):
        kernel.from_file(tmp_path / "Image")


def test_an_image_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    content = bytearray(image())
    struct.pack_into("<I", content, 0x1F4, 1000)
    (tmp_path / "bzImage").write_bytes(content)
    with pytest.raises(Unobtainable, match=rf"is cut short: it has {len(content)} of {5 * 512 + 16000} bytes"):
        kernel.from_file(tmp_path / "bzImage")


def test_a_missing_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unobtainable, match="cannot be read: No such file"):
        kernel.from_file(tmp_path / "bzImage")


# ------------------------------------------------------------------------------------------------------------ by name


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """A mirror with a package for each of these patterns, and a file in each."""
    has = {"linux-image-6.12.*-cloud-amd64": "boot/vmlinuz-6.12.94-cloud"}

    def fetch(pattern: str, suites: object, say: object) -> Package:
        if pattern not in has:
            raise Unobtainable(f"the Debian mirror has no {pattern}", "wait")
        return Package("linux-image-6.12.94-cloud-amd64", "6.12.94-1", "trixie", "5a", tmp_path / pattern)

    def unpack(package: Path, folder: Path) -> None:
        file = folder / has[package.name]
        file.parent.mkdir(parents=True)
        file.write_bytes(image())

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(deb_packages, "fetch", fetch)
    monkeypatch.setattr(deb_packages, "unpack", unpack)
    return has


def ignore(line: str) -> None:
    """Drop the message."""


def test_a_kernel_is_fetched_by_name_and_unpacked_once(mirror: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    found = shelf.obtain("6.12", ignore)
    assert (found.name, found.release) == ("6.12", "6.12.94-cloud")
    assert found.package == "linux-image-6.12.94-cloud-amd64 6.12.94-1 from trixie, sha256 5a"
    monkeypatch.setattr(deb_packages, "unpack", None)
    assert shelf.obtain("6.12", ignore) == found


def test_an_exact_version_is_fetched(mirror: dict[str, str]) -> None:
    mirror["linux-image-6.12.94+deb13-cloud-amd64"] = "boot/vmlinuz-6.12.94-cloud"
    assert shelf.obtain("6.12.94+deb13", ignore).environment == "linux-6.12.94+deb13"


def test_an_unlisted_kernel_is_an_error_that_names_the_listed_ones(mirror: dict[str, str]) -> None:
    with pytest.raises(Unobtainable, match=r"no kernel is called 6\.2 \(did you mean 6\.12\?\); the list has 5\.10, "):
        shelf.obtain("6.2", ignore)


def test_a_package_with_another_layout_is_an_error_that_names_its_images(
    mirror: dict[str, str], tmp_path: Path
) -> None:
    mirror["linux-image-6.12.*-cloud-amd64"] = "usr/lib/modules/6.12/vmlinuz"
    with pytest.raises(Unobtainable, match=r"has 0 files boot/vmlinuz-\*.*its images: usr/lib/modules/6.12/vmlinuz"):
        shelf.obtain("6.12", ignore)
    assert not list((tmp_path / "worldswitch" / "kernels").iterdir())


def test_kernels_are_fetched_in_the_background_and_unavailable_ones_have_a_reason(
    mirror: dict[str, str], tmp_path: Path
) -> None:
    mine = tmp_path / "bzImage"
    mine.write_bytes(image("6.18.3-mine"))
    with KernelFetcher(["6.12", "7.3", str(mine), "6.12"], ignore) as kernels:
        first, second, third = kernels.all()
        assert kernels.get("6.12") is first
    assert isinstance(second, UnavailableKernel)
    assert second.problem.reason == "the Debian mirror has no linux-binary-7.3.*-cloud-amd64"
    assert not isinstance(third, UnavailableKernel)
    assert third.name == "6.18.3-mine"
    assert kernels.names == ("6.12", "7.3", "6.18.3-mine")


def test_a_file_without_a_kernel_and_a_duplicate_name_have_a_reason(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("mine", "a/mine"):
        (tmp_path / name).write_bytes(image("6.18.3-mine"))
    (tmp_path / "none").write_bytes(b"")
    with KernelFetcher([str(tmp_path / name) for name in ("none", "mine", "a/mine")], ignore) as kernels:
        none, mine, other = kernels.all()
    assert isinstance(none, UnavailableKernel)
    assert none.name == "none"
    assert not isinstance(mine, UnavailableKernel)
    assert isinstance(other, UnavailableKernel)
    assert "two kernels have the name 6.18.3-mine" in other.problem.reason


def test_a_kernel_from_a_file_is_repeated_by_its_path(tmp_path: Path) -> None:
    mine = tmp_path / "bzImage"
    mine.write_bytes(image("6.18.3-mine"))
    request = Request(kernels=("6.12", "./gone", str(mine)))
    cell = CellName("linux-6.18.3-mine:hardened")
    assert f"--kernel {mine} --profile hardened" in request.again(cell, "signals::a_sentence")
    assert "--kernel 6.12 " in request.again(CellName("linux-6.12"), "signals::a_sentence")


# ----------------------------------------------------------------------------------------------------------- commands


def test_fetched_kernels_are_listed_and_an_unavailable_one_sets_the_exit_status(
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


def test_the_list_shows_cached_kernels(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = Package("linux-image-6.12.94+deb13-cloud-amd64", "6.12.94-1", "trixie", "5a", tmp_path)
    monkeypatch.setattr(deb_packages, "kept", lambda: [package])
    assert main.main(["kernels", "list", "--json"]) == 0
    rows = {row["name"]: row["kept"] for row in json.loads(capsys.readouterr().out)}
    assert (rows["6.12"], rows["6.1"]) == ("6.12.94+deb13", "")
    assert main.main(["kernels", "list"]) == 0
    assert "6.12.94+deb13" in capsys.readouterr().out


def test_a_list_of_the_user_s_is_used_and_its_errors_are_reported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(GOOD)
    monkeypatch.setenv(known.LIST, str(file))
    assert [entry.name for entry in known.load()] == ["6.1", "6.12"]
    file.write_text(GOOD.replace("6.12", "6.1"))
    assert main.main(["kernels", "list"]) == 2
    assert f"worldswitch kernels: {file}: 6.1: name: two entries" in capsys.readouterr().err


def test_closing_the_fetcher_ends_waits_for_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    hold = threading.Event()
    monkeypatch.setattr(shelf, "obtain", lambda name, say: hold.wait(10) and None)
    with KernelFetcher(["6.12", "7.3"], ignore) as kernels:
        threading.Timer(0.05, kernels.close).start()
        with pytest.raises(Unobtainable, match=r"7\.3 was cancelled"):
            kernels.get("7.3")
    hold.set()


def test_names_with_a_slash_are_files() -> None:
    assert shelf.is_file("./bzImage")
    assert not shelf.is_file("6.12")
    assert isinstance(shelf.entry_of("6.12.94+deb13"), Entry)
