"""Debian packages of any release, fetched into the cache and unpacked, never installed.

    image = deb_packages.fetch("linux-image-6.12.*-cloud-amd64", ["trixie"], say)
    deb_packages.unpack(image.path, folder)

Mirrors drop superseded versions, so a package is requested by pattern and the result states its exact version.
Each package is cached in a folder named after its digest, and the cache is used when the mirror cannot be reached.
"""

from __future__ import annotations

import errno
import fnmatch
import hashlib
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

import msgspec

from worldswitch.harness import decoding
from worldswitch.harness.environments.cache import cache, working_folder
from worldswitch.harness.environments.guardian import GuardedProcess
from worldswitch.harness.environments.images import unpacking
from worldswitch.harness.environments.images.apt_mirror import MirrorSuite, Offer
from worldswitch.harness.environments.protocol import Say
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.linux import regular_file

UNPACK_SECONDS = 120.0
UNWANTED = ("doc", "man", "info", "locale")  #: below /usr/share
_FILE, _NOTE = "package.deb", "package.json"  #: in each folder: the package, and its `Offer`


@dataclass(frozen=True, slots=True)
class Package:
    """A fetched package: its exact identity and its file."""

    name: str
    version: str
    suite: str
    sha256: str
    path: Path


def fetch(pattern: str, suites: Sequence[str], say: Say) -> Package:
    """Fetch the newest package whose name matches the shell pattern, from the first of these suites that has one.

    Falls back to the cache; raises `Unobtainable` if neither has one.
    """
    try:
        return download(_newest(pattern, suites, say), say)
    except Unobtainable as problem:
        known = [package for package in kept(suites) if fnmatch.fnmatchcase(package.name, pattern)]
        if not known:
            raise
        say(f"{problem.reason}; using {known[0].name} {known[0].version} from the cache")
        return known[0]


def offers(pattern: str, suites: Sequence[str], say: Say) -> list[Offer]:
    """Return all matching packages, newest first in each suite; unreadable suites are skipped with a message."""
    found: list[Offer] = []
    for suite in suites:
        try:
            found += MirrorSuite(suite, say).offers(pattern)
        except Unobtainable as problem:
            say(f"{suite} is skipped: {problem.reason}")
    return found


def download(offer: Offer, say: Say) -> Package:
    """Return a package from the cache, else from the mirror.  Raises `Unobtainable`."""
    home = cache("packages") / offer.sha256
    if found := _kept_in(home):
        return found
    say(f"fetching {offer.name} {offer.version} from {offer.suite}")
    with working_folder(home.parent) as work:
        MirrorSuite(offer.suite, say).download(offer, work / _FILE)
        (work / _NOTE).write_bytes(msgspec.json.encode(offer))
        _move(work, home)
    if package := _kept_in(home):
        return package
    raise Unobtainable(
        f"the SHA-256 of {offer.name} is not {offer.sha256}, which the signed index states",
        "run again; if it fails again, the mirror is broken",
    )


def kept(suites: Sequence[str] = ()) -> list[Package]:
    """Return the cached packages, of these suites if any are named; the most recently fetched come first."""
    homes = sorted(cache("packages").glob("[0-9a-f]*"), key=lambda home: home.stat().st_mtime, reverse=True)
    found = [package for home in homes if (package := _kept_in(home))]
    return [package for package in found if not suites or package.suite in suites]


def unpack(file: Path, folder: Path) -> None:
    """Unpack a package's file into `folder`, created if missing; its scripts are not run.  Raises `Unobtainable`.

    `dpkg-deb --extract` would replace links to folders, such as /bin, by folders, and follow links that lead outside.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _unpack(file, folder)
    except (tarfile.TarError, OSError, ValueError, EOFError) as problem:
        raise Unobtainable(
            f"{file} cannot be unpacked: {problem}",
            f"delete {file.parent} and run again; is there room in {folder}?",
        ) from problem


def _unpack(file: Path, folder: Path) -> None:
    command = ["dpkg-deb", "--fsys-tarfile", str(file)]
    with TemporaryFile() as said, GuardedProcess(command, stdout=subprocess.PIPE, stderr=said) as guarded:
        alarm = threading.Timer(UNPACK_SECONDS, guarded.process.kill)
        alarm.start()
        try:
            with tarfile.open(fileobj=guarded.process.stdout, mode="r|") as content:
                unpacking.unpack(content, folder, UNPACK_SECONDS)
            status = guarded.process.wait(UNPACK_SECONDS)
        except tarfile.ReadError as problem:
            raise tarfile.ReadError(_words(said) or str(problem)) from problem
        finally:
            alarm.cancel()
        if status:
            raise tarfile.ReadError(_words(said) or f"dpkg-deb ended with status {status}")


def _words(said: BinaryIO) -> str:
    """Return the last line of a program's errors."""
    said.seek(0)
    lines = said.read(1 << 16).decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def assemble(suite: MirrorSuite, names: Sequence[str], archives: Path, folder: Path) -> list[Path]:
    """Unpack packages and all their dependencies into `folder`, without documentation.  Raises `Unobtainable`.

    Returns the packages' files, which are in the empty folder `archives`.
    """
    suite.gather(names, archives)
    files = sorted(archives.glob("*.deb"))
    for file in files:
        unpack(file, folder)
    for name in UNWANTED:
        shutil.rmtree(folder / "usr/share" / name, ignore_errors=True)
    return files


def _newest(pattern: str, suites: Sequence[str], say: Say) -> Offer:
    unread: list[Unobtainable] = []
    for suite in suites:
        try:
            if found := MirrorSuite(suite, say).offers(pattern):
                return found[0]
        except Unobtainable as problem:
            unread.append(problem)
    if unread:
        raise unread[0]
    raise Unobtainable(
        f"the Debian mirror has no {pattern} in {', '.join(suites)}",
        "the mirror may have dropped this version; name its successor",
    )


def _kept_in(home: Path) -> Package | None:
    """Return the package in a folder of the cache; None if it is missing or damaged."""
    file = home / _FILE
    try:
        offer = decoding.from_json(regular_file.read(home / _NOTE), Offer)
        with file.open("rb") as stream:
            whole = hashlib.file_digest(stream, "sha256").hexdigest() == offer.sha256
    except (OSError, msgspec.DecodeError):
        return None
    return Package(offer.name, offer.version, offer.suite, offer.sha256, file) if whole else None


def _move(work: Path, home: Path) -> None:
    """Move the folder into place atomically; an intact one from another run is as good."""
    if home.exists() and not _kept_in(home):
        shutil.rmtree(home)
    try:
        work.rename(home)
    except OSError as problem:
        if problem.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
