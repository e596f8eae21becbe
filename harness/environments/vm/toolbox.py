"""The programs that machines take: QEMU, mke2fs for their disks, and crun for the containers in them.

They come from a Debian release whose QEMU is known to be good, with every library they use, the C library included, so
that it does not matter what this machine is; they are unpacked into one folder of the cache, and nothing is installed.
QEMU 7.2, of Debian 12, loses guests at random under emulation, so that what is installed here would be no better.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import filelock

from worldswitch.harness.environments import guardian
from worldswitch.harness.environments.cache import cache
from worldswitch.harness.environments.images import apt_mirror
from worldswitch.harness.environments.run_resources import RunResources
from worldswitch.harness.errors import Unobtainable

if TYPE_CHECKING:
    from worldswitch.harness.environments.protocol import Say

SUITE = "trixie"
PACKAGES = ("qemu-system-x86", "e2fsprogs", "crun")
UNWANTED = ("doc", "info", "locale", "man")  #: below /usr/share
MAKING_SECONDS = 900.0
LIBRARIES = "usr/lib/x86_64-linux-gnu"
LOADER = "usr/lib64/ld-linux-x86-64.so.2"

_PACKAGE = re.compile(r"^([a-z0-9.+-]+)_(?:\d+:)?([0-9.]+)", re.MULTILINE)  #: of the names of packages' files


@dataclass(frozen=True, slots=True)
class QemuTools:
    """A folder with a system's worth of programs, which run with its own C library."""

    path: Path
    qemu: str  #: its version
    crun: str
    id: str  #: named after the packages it is made from

    def command(self, program: str) -> list[str]:
        """The words that run a program of it, given by its path below the folder."""
        library_path = f"{self.path / LIBRARIES}:{self.path / 'usr/lib'}"
        return [str(self.path / LOADER), "--library-path", library_path, str(self.path / program)]

    @property
    def environment(self) -> dict[str, str]:
        """What QEMU needs to be told, since it cannot see where it lies."""
        return {"QEMU_MODULE_DIR": str(self.path / LIBRARIES / "qemu")}

    @property
    def firmware(self) -> list[Path]:
        """Where QEMU finds what it loads into machines."""
        return [self.path / "usr/share" / name for name in ("qemu", "seabios")]

    def runtime(self) -> dict[str, Path]:
        """The OCI runtime with its libraries and loader: names in the guest's folder, and the files."""
        libraries = {name: self.path / LIBRARIES / name for name in self._libraries("usr/bin/crun")}
        return {
            "crun": self.path / "usr/bin/crun",
            "ld.so": self.path / LOADER,
            **{f"lib/{name}": path for name, path in libraries.items()},
        }

    def _libraries(self, program: str) -> list[str]:
        """The shared libraries a program is loaded with, as its loader lists them."""
        listing = subprocess.run(
            [*self.command(program)[:-1], "--list", str(self.path / program)],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout
        paths = (line.partition("=>")[2].split()[0] for line in listing.splitlines() if "=>" in line)
        return [Path(path).name for path in paths if path.startswith(str(self.path))]


def obtain(run: RunResources, say: Say) -> QemuTools:
    """The toolbox, made once; `Unobtainable` where the packages cannot be had."""
    made = cache("tools") / hashlib.sha256(" ".join((SUITE, *PACKAGES)).encode()).hexdigest()[:16]
    with filelock.FileLock(cache("tools") / "lock", timeout=MAKING_SECONDS):
        if not made.exists():
            fresh = run.scratch() / "tools"
            _make(fresh, run, say)
            fresh.rename(made)
    return _read(made)


def _make(folder: Path, run: RunResources, say: Say) -> None:
    archives = run.scratch()
    say(f"fetching QEMU from Debian's {SUITE}, with its libraries, some 40 MB")
    apt_mirror.MirrorSuite(SUITE, say).gather(PACKAGES, archives)
    files = sorted(archives.glob("*.deb"))
    for file in files:
        guardian.run(["dpkg-deb", "--extract", str(file), str(folder)], 120)
    for name in UNWANTED:
        shutil.rmtree(folder / "usr/share" / name, ignore_errors=True)
    (folder / "packages").write_text("".join(f"{file.stem.replace('%3a', ':')}\n" for file in files))
    shutil.rmtree(archives)


def _read(made: Path) -> QemuTools:
    packages = (made / "packages").read_text()
    versions = dict(_PACKAGE.findall(packages))
    lacking = [name for name in PACKAGES if name not in versions]
    if lacking:
        raise Unobtainable(f"{made} is without {', '.join(lacking)}", "delete that folder and run again")
    digest = hashlib.sha256(packages.encode()).hexdigest()[:16]
    return QemuTools(made, versions["qemu-system-x86"], versions["crun"], digest)
