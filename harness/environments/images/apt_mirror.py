"""A machine's own Debian mirror, read by an apt of our own: other releases' packages, and nothing is installed.

Each suite has a private apt: configuration, lists and state below the cache folder.  The machine's own apt is asked
for the mirror's address, its keyring and the proxies, and is otherwise neither read nor changed.  apt itself checks
the signature on a suite's index, and every file against it.  An index that is past its date is taken nevertheless, and
that is said: what is wanted is a certain old kernel, not the latest fix.
"""

from __future__ import annotations

import fnmatch
import os
import platform
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TypeAlias

import filelock
import msgspec
from debian.deb822 import Deb822
from debian.debian_support import Version

from worldswitch.harness.environments import guardian
from worldswitch.harness.environments.cache import cache
from worldswitch.harness.environments.images.apt import network_settings, sources
from worldswitch.harness.errors import Unobtainable

Say: TypeAlias = Callable[[str], None]

MIRROR = "WORLDSWITCH_DEBIAN_MIRROR"  #: names a mirror where apt knows none
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
FRESH_SECONDS = 86400.0  #: a younger index is not asked for again
UPDATE_SECONDS = 180.0
DOWNLOAD_SECONDS = 600.0

_HELPER = "/usr/lib/apt/apt-helper"
#: Finds the few paragraphs that are wanted: an index has tens of thousands, and parsing them all takes ten seconds.
_PACKAGE = re.compile(r"^Package: (.*)$", re.MULTILINE)

#: An apt with files of its own and none of the machine's hooks, which may clean the machine's caches.  It takes no
#: locks, since `Suite._lock` is held: apt's would be /dev/lock-frontend, one for all runs, and only for root.
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
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::GzipIndexes "true";
Acquire::Retries "2";
Acquire::http::Timeout "20";
"""


class Offer(msgspec.Struct, frozen=True):
    """A package that a suite has."""

    name: str
    version: str
    suite: str
    sha256: str
    place: str  #: of its file, below the mirror's address


def mirror() -> tuple[str, str]:
    """The address of the Debian mirror, and the keyring its suites are checked with; `Unobtainable` if there is none.

    The keyring is a path, or empty for the keys that apt trusts anyway.
    """
    ring = str(KEYRING) if KEYRING.exists() else ""
    if named := os.environ.get(MIRROR):
        return named, ring
    if platform.freedesktop_os_release().get("ID") != "debian":
        raise Unobtainable(
            "packages of Debian are wanted, and this machine is no Debian whose mirror could be asked",
            f"install debian-archive-keyring and set {MIRROR}=https://deb.debian.org/debian",
        )
    try:
        source = sources()[0]
    except Unobtainable as problem:
        raise Unobtainable(
            "packages of Debian are wanted, and apt's sources name no mirror of this machine's release",
            f"run apt-get update, or set {MIRROR}=https://deb.debian.org/debian",
        ) from problem
    return source.uri, source.signed_by or ring


class MirrorSuite:
    """One suite of the mirror, through an apt of its own."""

    def __init__(self, name: str, say: Say) -> None:
        """Take the suite called `name`; `say` is told what takes long or is not as one may think."""
        self.name = name
        self._say = say
        self._folder = cache("apt", name)

    def offers(self, pattern: str) -> list[Offer]:
        """The packages whose names match the shell pattern, newest first; `Unobtainable` without any index."""
        with self._lock():
            self._refresh()
            index = self._index()
        wanted = re.compile(fnmatch.translate(pattern))
        places = [found.start() for found in _PACKAGE.finditer(index) if wanted.match(found[1])]
        found = (self._offer(Deb822(index[start : index.index("\n\n", start)])) for start in places)
        return sorted(found, key=lambda offer: (Version(offer.version), offer.name), reverse=True)

    def download(self, offer: Offer, file: Path) -> None:
        """Have the package's file at `file`."""
        # apt would only link to a file on this machine, and what is kept must stay as it is.
        source = f"{re.sub('^file:', 'copy:', mirror()[0]).rstrip('/')}/{offer.place}"
        try:
            with self._lock():
                self._run(
                    _HELPER, "download-file", source, str(file), f"SHA256:{offer.sha256}", seconds=DOWNLOAD_SECONDS
                )
        except subprocess.SubprocessError as problem:
            raise Unobtainable(
                f"{source} cannot be had: {guardian.last_words(problem)}",
                f"run again; if the mirror has dropped it, delete {self._folder}, so that its index is read anew",
            ) from problem

    def gather(self, names: Sequence[str], folder: Path) -> None:
        """Have the files of these packages in `folder`, and of all they depend on, as for a machine without any."""
        words = ("--download-only", "--no-install-recommends", "--yes", "--quiet=2")
        archives = f"Dir::Cache::archives={folder}"
        (folder / "partial").mkdir(parents=True, exist_ok=True)
        try:
            with self._lock():
                self._refresh()
                self._run("apt-get", "install", *words, "-o", archives, *names, seconds=DOWNLOAD_SECONDS)
        except subprocess.SubprocessError as problem:
            raise Unobtainable(
                f"{', '.join(names)} of {self.name} cannot be had: {guardian.last_words(problem)}",
                f"run again; if it stays so, delete {self._folder}, so that its index is read anew",
            ) from problem

    def _refresh(self) -> None:
        """Get the index, unless there is a fresh one; an old one does, if the mirror cannot be reached."""
        done = self._folder / "updated"
        if done.exists() and 0 <= time.time() - done.stat().st_mtime < FRESH_SECONDS:
            return
        self._say(f"reading what the Debian mirror has in {self.name}")
        try:
            self._configure()
            self._run("apt-get", "--quiet", "update", seconds=UPDATE_SECONDS)
        except (OSError, subprocess.SubprocessError) as problem:
            said = guardian.last_words(problem) if isinstance(problem, subprocess.SubprocessError) else str(problem)
            if not done.exists():
                raise Unobtainable(
                    f"the index of {self.name} cannot be had: {said}",
                    "check that apt-get update works here, then run again",
                ) from problem
            self._say(f"{self.name}: its index is not renewed ({said}); the one of {time.ctime(done.stat().st_mtime)}")
            return
        self._tell_age()
        done.touch()

    def _configure(self) -> None:
        address, keyring = mirror()
        (self._folder / "lists" / "partial").mkdir(parents=True, exist_ok=True)
        (self._folder / "archives" / "partial").mkdir(parents=True, exist_ok=True)
        signed = f" signed-by={keyring}" if keyring else ""
        source = f"deb [check-valid-until=no{signed}] {address} {self.name} main\n"
        (self._folder / "sources.list").write_text(source)
        settings = "\n".join(network_settings())
        (self._folder / "apt.conf").write_text(_CONFIGURATION.format(folder=self._folder) + settings + "\n")

    def _tell_age(self) -> None:
        for release in (self._folder / "lists").glob("*Release"):
            until = Deb822(release.read_bytes()).get("Valid-Until")
            if until and parsedate_to_datetime(until).timestamp() < time.time():
                self._say(f"{self.name}: its index was valid until {until}; taken nevertheless, for it is signed")

    def _index(self) -> str:
        """The index, a paragraph a package."""
        targets = self._run("apt-get", "indextargets", "--format", "$(FILENAME)", "Created-By: Packages", seconds=30)
        return "".join(self._run(_HELPER, "cat-file", name, seconds=60) + "\n\n" for name in targets.splitlines())

    def _offer(self, package: Deb822) -> Offer:
        return Offer(package["Package"], package["Version"], self.name, package["SHA256"], package["Filename"])

    def _lock(self) -> filelock.BaseFileLock:
        return filelock.FileLock(self._folder / "lock", timeout=UPDATE_SECONDS + DOWNLOAD_SECONDS)

    def _run(self, *command: str, seconds: float) -> str:
        return guardian.run(["env", f"APT_CONFIG={self._folder / 'apt.conf'}", *command], seconds)
