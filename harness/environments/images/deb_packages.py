"""Debian packages from other releases than this machine's, fetched and kept, never installed.

    image = packages.fetch("linux-image-6.12.*-cloud-amd64", ["trixie"], say)
    packages.unpack(image, folder)

Mirrors drop what is superseded, so a package is asked for by a pattern and what comes says exactly what it is.  What
was once fetched is kept below the cache folder, each in a folder named after its digest, and is used when the mirror
cannot be reached.
"""

from __future__ import annotations

import errno
import fnmatch
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from worldswitch.harness.environments import guardian
from worldswitch.harness.environments.cache import cache
from worldswitch.harness.environments.images.apt_mirror import MirrorSuite, Offer, Say
from worldswitch.harness.errors import Unobtainable

UNPACK_SECONDS = 120.0
_FILE, _NOTE = "package.deb", "package.json"  #: in each folder: the file, and what it is


@dataclass(frozen=True, slots=True)
class Package:
    """A package that was fetched: what it is exactly, and where its file lies."""

    name: str
    version: str
    suite: str
    sha256: str
    path: Path


def fetch(pattern: str, suites: Sequence[str], say: Say) -> Package:
    """The newest package whose name matches the shell pattern, from the first of these suites that has one.

    Raises `Unobtainable` if none has it, and it is not kept from earlier.
    """
    try:
        return download(_newest(pattern, suites, say), say)
    except Unobtainable as problem:
        known = [package for package in kept(suites) if fnmatch.fnmatchcase(package.name, pattern)]
        if not known:
            raise
        say(f"{problem.reason}; taking {known[0].name} {known[0].version}, which is kept")
        return known[0]


def offers(pattern: str, suites: Sequence[str], say: Say) -> list[Offer]:
    """Every package that matches, newest first in each suite; suites that cannot be read are left out, and named."""
    found: list[Offer] = []
    for suite in suites:
        try:
            found += MirrorSuite(suite, say).offers(pattern)
        except Unobtainable as problem:
            say(f"{suite} is left out: {problem.reason}")
    return found


def download(offer: Offer, say: Say) -> Package:
    """What is offered; from the mirror, unless it is kept."""
    home = cache("packages") / offer.sha256
    if found := _kept_in(home):
        return found
    say(f"fetching {offer.name} {offer.version} from {offer.suite}")
    work = Path(tempfile.mkdtemp(prefix=".", dir=home.parent))
    try:
        MirrorSuite(offer.suite, say).download(offer, work / _FILE)
        (work / _NOTE).write_bytes(msgspec.json.encode(offer))
        _move(work, home)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if package := _kept_in(home):
        return package
    raise Unobtainable(
        f"{offer.name} came, and its SHA-256 is not {offer.sha256}, as the signed index says",
        "run again; if it stays so, the mirror is broken",
    )


def kept(suites: Sequence[str] = ()) -> list[Package]:
    """What was fetched before, from these suites if any are named; what was fetched last comes first."""
    homes = sorted(cache("packages").glob("[0-9a-f]*"), key=lambda home: home.stat().st_mtime, reverse=True)
    found = [package for home in homes if (package := _kept_in(home))]
    return [package for package in found if not suites or package.suite in suites]


def unpack(package: Package, folder: Path) -> None:
    """Unpack a package's files below `folder`, which is made; its scripts are not run."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        guardian.run(["dpkg-deb", "--extract", str(package.path), str(folder)], UNPACK_SECONDS)
    except subprocess.SubprocessError as problem:
        raise Unobtainable(
            f"{package.path} cannot be unpacked: {guardian.error_lines(problem)}",
            f"delete {package.path.parent} and run again; is there room in {folder}?",
        ) from problem


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
        "mirrors drop what is superseded; what comes in its place must be named",
    )


def _kept_in(home: Path) -> Package | None:
    """The package in a folder of the cache, if it is whole."""
    file = home / _FILE
    try:
        offer = msgspec.json.decode((home / _NOTE).read_bytes(), type=Offer)
        with file.open("rb") as stream:
            whole = hashlib.file_digest(stream, "sha256").hexdigest() == offer.sha256
    except (OSError, msgspec.DecodeError):
        return None
    return Package(offer.name, offer.version, offer.suite, offer.sha256, file) if whole else None


def _move(work: Path, home: Path) -> None:
    """Have the folder appear whole; another run's of the same content does as well."""
    if home.exists() and not _kept_in(home):
        shutil.rmtree(home)
    try:
        work.rename(home)
    except OSError as problem:
        if problem.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
