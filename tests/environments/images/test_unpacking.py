"""Archives that lead outside of their folder, or that have no end, change nothing outside of it."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from worldswitch.harness.environments.images import deb_packages, unpacking
from worldswitch.harness.environments.images.unpacking import UnsafeArchive, unpack
from worldswitch.harness.errors import Unobtainable

FILE, FOLDER, LINK, HARD, DEVICE, PIPE = (
    tarfile.REGTYPE,
    tarfile.DIRTYPE,
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.CHRTYPE,
    tarfile.FIFOTYPE,
)

Entry = tuple[str, bytes, str]  #: name, type, and target or content


def archive(entries: Sequence[Entry], mode: int = 0o755) -> io.BytesIO:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, kind, said in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = kind, mode
            entry.uid, entry.gid = os.geteuid(), os.getegid()
            if kind == FILE:
                entry.size = len(said)
            else:
                entry.linkname = said
            tar.addfile(entry, io.BytesIO(said.encode()) if kind == FILE else None)
    packed.seek(0)
    return packed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder to unpack into, beside files that must not change."""
    (tmp_path / "outside").mkdir(mode=0o711)
    (tmp_path / "outside/file").write_text("untouched")
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def extract(folder: Path, *entries: Entry, mode: int = 0o755) -> None:
    with tarfile.open(fileobj=archive(entries, mode)) as content:
        unpack(content, folder, 60)


def untouched(folder: Path) -> bool:
    outside = folder.parent / "outside"
    return (
        [path.name for path in outside.iterdir()] == ["file"]
        and (outside / "file").read_text() == "untouched"
        and (outside / "file").stat().st_nlink == 1
        and stat.S_IMODE(outside.stat().st_mode) == 0o711
    )


#: Archives of which an entry leads outside; `OUT` is the folder outside.
BAD: dict[str, list[Entry]] = {
    "a name that leads up": [("../outside/new", FILE, "x")],
    "a name that leads up from inside": [("a/../../outside/new", FILE, "x")],
    "an absolute name": [("OUT/new", FILE, "x")],
    "a folder that leads up": [("../outside", FOLDER, "")],
    "a file in an absolute link": [("link", LINK, "OUT"), ("link/new", FILE, "x")],
    "a file in a relative link": [("link", LINK, "../outside"), ("link/new", FILE, "x")],
    "a folder over a link": [("link", LINK, "OUT"), ("link", FOLDER, "")],
    "a file in a chain of links": [("b", LINK, "../outside"), ("a", LINK, "b"), ("a/new", FILE, "x")],
    "a hard link that leads up": [("mine", HARD, "../outside/file"), ("mine", FILE, "x")],
    "an absolute hard link": [("mine", HARD, "OUT/file"), ("mine", FILE, "x")],
    "a hard link through a link": [("link", LINK, "OUT"), ("mine", HARD, "link/file"), ("mine", FILE, "x")],
    "a link in an outer link": [("link", LINK, "OUT"), ("link/new", LINK, "x")],
    "a name that is too long": [("x/" * 3000, FILE, "x")],
}


@pytest.mark.parametrize("what", BAD)
def test_nothing_outside_is_changed(what: str, folder: Path) -> None:
    out = str(folder.parent / "outside")
    entries = [(name.replace("OUT", out), kind, said.replace("OUT", out)) for name, kind, said in BAD[what]]
    with pytest.raises(UnsafeArchive):
        extract(folder, *entries, mode=0o4777)
    assert untouched(folder)


def test_a_file_takes_the_place_of_a_link_and_does_not_go_through_it(folder: Path) -> None:
    extract(folder, ("link", LINK, "../outside/file"), ("link", FILE, "mine"), mode=0o777)
    assert (folder / "link").read_text() == "mine"
    assert not (folder / "link").is_symlink()
    assert untouched(folder)


def test_what_an_earlier_archive_left_is_not_followed(folder: Path) -> None:
    extract(folder, ("etc", LINK, str(folder.parent / "outside")))
    with pytest.raises(UnsafeArchive, match="by a link to"):
        extract(folder, ("etc/new", FILE, "x"))
    assert untouched(folder)


def test_links_modes_and_files_inside_are_kept_and_devices_left_out(folder: Path) -> None:
    extract(
        folder,
        ("usr/lib", FOLDER, ""),
        ("lib", LINK, "usr/lib"),
        ("lib/one", FILE, "1"),
        ("lib", FOLDER, ""),  # of another package: the link stays
        ("lib/two", HARD, "usr/lib/one"),
        ("etc", LINK, "/nowhere/else"),
        ("dev/null", DEVICE, ""),
        ("pipe", PIPE, ""),
        mode=0o4755,
    )
    assert (folder / "lib").readlink() == Path("usr/lib")
    assert (folder / "usr/lib/two").read_text() == "1"
    assert (folder / "usr/lib/one").stat().st_nlink == 2
    assert stat.S_IMODE((folder / "usr/lib/one").stat().st_mode) == 0o4755
    assert (folder / "etc").readlink() == Path("/nowhere/else")
    assert not (folder / "dev/null").exists()
    assert not (folder / "pipe").exists()


def test_an_archive_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MOST_BYTES", 10)
    with pytest.raises(UnsafeArchive, match="10 bytes"):
        extract(folder, ("a", FILE, "12345"), ("b", FILE, "678901"))
    assert not (folder / "b").exists()
    monkeypatch.setattr(unpacking, "MOST_ENTRIES", 2)
    with pytest.raises(UnsafeArchive, match="more than 2 entries"):
        extract(folder, ("a", FILE, "1"), ("b", FILE, "1"), ("c", FILE, "1"))


def test_a_sparse_file_counts_with_its_holes(folder: Path) -> None:
    """One of 16 TB: GNU tar packs it into some blocks."""
    (folder / "holes").touch()
    os.truncate(folder / "holes", unpacking.MOST_BYTES + 1)
    packed = folder.parent / "sparse.tar"
    subprocess.run(["tar", "-C", folder, "--sparse", "-cf", packed, "holes"], check=True, timeout=60)
    with tarfile.open(packed) as content, pytest.raises(UnsafeArchive):
        unpack(content, folder / "new", 60)
    assert packed.stat().st_size < 1 << 20


def debian(to: Path, data: io.BytesIO) -> Path:
    """A package with this content, which dpkg-deb would not build."""
    parts = {"debian-binary": b"2.0\n", "control.tar": archive([]).getvalue(), "data.tar": data.getvalue()}
    with to.open("wb") as file:
        file.write(b"!<arch>\n")
        for name, content in parts.items():
            file.write(f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode() + content)
            file.write(b"\n" * (len(content) % 2))
    return to


def test_packages_do_not_follow_each_other_s_links(folder: Path) -> None:
    outside = str(folder.parent / "outside")
    first = debian(folder.parent / "first.deb", archive([("./etc", LINK, outside)]))
    second = debian(folder.parent / "second.deb", archive([("./etc/new", FILE, "x")]))
    deb_packages.unpack(first, folder)
    with pytest.raises(Unobtainable, match=r"second\.deb cannot be unpacked: '\./etc/new': outside of"):
        deb_packages.unpack(second, folder)
    assert untouched(folder)


def test_a_damaged_package_is_told_in_dpkg_s_words(folder: Path) -> None:
    (folder.parent / "bad.deb").write_bytes(b"<html>")
    with pytest.raises(Unobtainable, match=r"bad\.deb cannot be unpacked: dpkg-deb: error: .*"):
        deb_packages.unpack(folder.parent / "bad.deb", folder)
