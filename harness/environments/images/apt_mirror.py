"""Read any suite of this machine's Debian mirror through a private apt; nothing is installed.

Each suite has its own apt configuration, lists and state in the cache.  The machine's apt only supplies the mirror's
address, the keyring and the proxies; its state is neither read nor changed.  apt checks the signature of a suite's
index, and each file against the index, whose sizes also bound what is written.  An expired index is used, with a
message: an old kernel needs no recent index.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path

import filelock
import msgspec
from debian.deb822 import Deb822
from debian.debian_support import Version

from worldswitch.harness.environments import guardian
from worldswitch.harness.environments.cache import cache
from worldswitch.harness.environments.images.apt import Source, network_settings, sources
from worldswitch.harness.environments.protocol import Say
from worldswitch.harness.errors import Unobtainable

MIRROR = "WORLDSWITCH_DEBIAN_MIRROR"  #: sets the mirror where apt's sources name none
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
FRESH_SECONDS = 86400.0  #: a younger index is not fetched again
UPDATE_SECONDS = 180.0
DOWNLOAD_SECONDS = 600.0
SILENCE_SECONDS = 20  #: after which a mirror that sends nothing counts as gone
RETRIES = 2
INDEX_BYTES = 10_000_000  #: of a suite's signed Release file; that file states the size of all others

_HELPER = "/usr/lib/apt/apt-helper"
#: Finds the paragraphs to parse: parsing all of an index, tens of thousands, takes ten seconds.
_PACKAGE = re.compile(r"^Package: (.*)$", re.MULTILINE)

#: A private apt, without the machine's hooks, which may clean the machine's caches.  It takes no locks, since
#: `MirrorSuite._lock` is held: apt's would be /dev/lock-frontend, one for all runs, and only for root.
_CONFIGURATION = """\
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null/";
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State "{folder}";
Dir::State::status "/dev/null";
Debug::NoLocking "true";
Dir::Cache "{folder}";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
APT::Sandbox::User "";
Acquire::Check-Valid-Until "false";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::GzipIndexes "true";
Acquire::Retries "{retries}";
Acquire::http::Timeout "{silence}";
Acquire::https::Timeout "{silence}";
Acquire::MaxReleaseFileSize "{most}";
"""


class Offer(msgspec.Struct, frozen=True):
    """A package in a suite's index."""

    name: str
    version: str
    suite: str
    sha256: str
    place: str  #: path of its file below the mirror's address
    size: int = 0  #: bytes of its file; 0 in the notes of packages that older versions cached


def mirror() -> tuple[str, str]:
    """Return the address of the Debian mirror and the path of its keyring, empty for apt's trusted keys.

    Raises `Unobtainable`.
    """
    ring = str(KEYRING) if KEYRING.exists() else ""
    if named := os.environ.get(MIRROR):
        return named, ring
    if platform.freedesktop_os_release().get("ID") != "debian":
        raise Unobtainable(
            "Debian packages are needed, and this machine, which is not a Debian, has no Debian mirror configured",
            f"install debian-archive-keyring and set {MIRROR}=https://deb.debian.org/debian",
        )
    try:
        source = sources()[0]
    except Unobtainable as problem:
        raise Unobtainable(
            "Debian packages are needed, and apt's sources name no mirror of this machine's release",
            f"run apt-get update, or set {MIRROR}=https://deb.debian.org/debian",
        ) from problem
    return source.uri, source.signed_by or ring


class MirrorSuite:
    """A suite of the mirror, read through a private apt."""

    def __init__(self, name: str, say: Say, where: Sequence[Source] = ()) -> None:
        """Open the suite called `name`, of the Debian mirror or `where`; `say` receives progress and warnings."""
        self.name = name
        self._say = say
        self._where = where
        lines = "".join(source.line for source in where)
        self._folder = cache("apt", f"{name}-{hashlib.sha256(lines.encode()).hexdigest()[:16]}" if where else name)

    def offers(self, pattern: str) -> list[Offer]:
        """Return the packages whose names match the shell pattern, newest first.  Raises `Unobtainable`."""
        with self._lock():
            self._refresh()
            index = self._index()
        wanted = re.compile(fnmatch.translate(pattern))
        places = [found.start() for found in _PACKAGE.finditer(index) if wanted.match(found[1])]
        packages = (Deb822(index[start : index.index("\n\n", start)]) for start in places)
        found = [
            Offer(one["Package"], one["Version"], self.name, one["SHA256"], one["Filename"], int(one["Size"]))
            for one in packages
        ]
        return sorted(found, key=lambda offer: (Version(offer.version), offer.name), reverse=True)

    def download(self, offer: Offer, file: Path) -> None:
        """Download a package to `file`.  Raises `Unobtainable`."""
        # With file: apt would only link to a mirror on this machine, whose files may change.
        source = f"{re.sub('^file:', 'copy:', mirror()[0]).rstrip('/')}/{offer.place}"
        try:
            with self._lock():
                sums = f"SHA256:{offer.sha256}", f"Checksum-FileSize:{offer.size}"
                self._run(_HELPER, "download-file", source, str(file), *sums, seconds=DOWNLOAD_SECONDS)
        except subprocess.SubprocessError as problem:
            raise Unobtainable(
                f"{source} cannot be downloaded: {_reason(problem)}",
                f"run again; if the mirror has dropped it, delete {self._folder} to fetch the index again",
            ) from problem

    def gather(self, names: Sequence[str], folder: Path) -> None:
        """Download these packages and all their dependencies into `folder`.  Raises `Unobtainable`."""
        words = ("--download-only", "--no-install-recommends", "--yes", "--quiet=2")
        archives = f"Dir::Cache::archives={folder}"
        try:
            with self._lock(), _partial(folder):
                self._refresh()
                self._run("apt-get", "install", *words, "-o", archives, *names, seconds=DOWNLOAD_SECONDS)
        except subprocess.SubprocessError as problem:
            raise Unobtainable(
                f"{', '.join(names)} of {self.name} cannot be downloaded from {self._address}: {_reason(problem)}",
                f"run again; if it fails again, delete {self._folder} to fetch the index again",
            ) from problem

    def _refresh(self) -> None:
        """Fetch the index unless it is fresh; if the mirror cannot be reached, an old one is used."""
        done = self._folder / "updated"
        if done.exists() and 0 <= time.time() - done.stat().st_mtime < FRESH_SECONDS:
            return
        self._say(f"reading the index of {self.name} from the Debian mirror")
        try:
            self._configure()
            with _partial(self._folder / "lists"):
                self._run("apt-get", "--quiet", "update", seconds=UPDATE_SECONDS)
        except (OSError, subprocess.SubprocessError) as problem:
            reason = _reason(problem)
            if not done.exists():  # apt keeps each file of the index that it could verify
                shutil.rmtree(self._folder / "lists", ignore_errors=True)
            if not done.exists():
                raise Unobtainable(
                    f"the index of {self.name} cannot be fetched from {self._address}: {reason}",
                    "check that apt-get update works here, then run again",
                ) from problem
            date = time.ctime(done.stat().st_mtime)
            self._say(f"{self.name}: the index cannot be renewed ({reason}); using the one of {date}")
            return
        self._warn_if_expired()
        done.touch()

    def _configure(self) -> None:
        where = self._where
        if not where:
            address, keyring = mirror()
            where = [Source(address, self.name, keyring)]
        lines = "".join(f"{source.line}\n" for source in where)
        (self._folder / "archives" / "partial").mkdir(parents=True, exist_ok=True)
        (self._folder / "sources.list").write_text(lines.replace(" file:", " copy:"))
        settings = "\n".join(network_settings())
        limits = {"retries": RETRIES, "silence": SILENCE_SECONDS, "most": INDEX_BYTES}
        (self._folder / "apt.conf").write_text(_CONFIGURATION.format(folder=self._folder, **limits) + settings + "\n")

    @property
    def _address(self) -> str:
        return ", ".join(dict.fromkeys(source.uri for source in self._where)) or mirror()[0]

    def _warn_if_expired(self) -> None:
        for release in (self._folder / "lists").glob("*Release"):
            until = Deb822(release.read_bytes()).get("Valid-Until")
            if until and parsedate_to_datetime(until).timestamp() < time.time():
                self._say(f"{self.name}: the index expired on {until}; it is used, since its signature is valid")

    def _index(self) -> str:
        """Return the index: one paragraph per package."""
        targets = self._run("apt-get", "indextargets", "--format", "$(FILENAME)", "Created-By: Packages", seconds=30)
        return "".join(self._run(_HELPER, "cat-file", name, seconds=60) + "\n\n" for name in targets.splitlines())

    def _lock(self) -> filelock.BaseFileLock:
        return filelock.FileLock(self._folder / "lock", timeout=UPDATE_SECONDS + DOWNLOAD_SECONDS)

    def _run(self, *command: str, seconds: float) -> str:
        return guardian.run(["env", f"APT_CONFIG={self._folder / 'apt.conf'}", *command], seconds)


@contextmanager
def _partial(folder: Path) -> Iterator[None]:
    """Make the folder in which apt keeps unfinished files; its content goes, whatever happens."""
    partial = folder / "partial"
    partial.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _reason(problem: Exception) -> str:
    if isinstance(problem, subprocess.TimeoutExpired):
        return f"it is not complete after {problem.timeout:g} s"
    return guardian.error_lines(problem) if isinstance(problem, subprocess.SubprocessError) else str(problem)
