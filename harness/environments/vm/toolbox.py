"""The programs that virtual machines need: QEMU, mke2fs for disks, and crun for containers in guests.

They are unpacked, not installed, into a cache folder, from a Debian release with a good QEMU, with all their libraries
including the C library, so that this machine's distribution does not matter.  An installed QEMU is not used: 7.2, in
Debian 12, loses guests at random under emulation.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import filelock

from worldswitch.harness.environments.cache import cache
from worldswitch.harness.environments.images import deb_packages
from worldswitch.harness.environments.images.apt_mirror import MirrorSuite
from worldswitch.harness.environments.protocol import Say
from worldswitch.harness.environments.run_resources import RunResources
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.linux import regular_file

SUITE = "trixie"
PACKAGES = ("qemu-system-x86", "e2fsprogs", "crun")
MAKING_SECONDS = 900.0
LIBRARIES = "usr/lib/x86_64-linux-gnu"
LOADER = "usr/lib64/ld-linux-x86-64.so.2"

_PACKAGE = re.compile(r"^([a-z0-9.+-]+)_(?:\d+:)?([0-9.]+)", re.MULTILINE)  #: name and version in a package's file name


@dataclass(frozen=True, slots=True)
class QemuTools:
    """A folder of programs that run with its own C library."""

    path: Path
    qemu: str  #: version
    crun: str  #: version
    id: str  #: digest of its packages

    def command(self, program: str) -> list[str]:
        """Return the start of a command that runs a program, given by its path below the folder."""
        library_path = f"{self.path / LIBRARIES}:{self.path / 'usr/lib'}"
        return [str(self.path / LOADER), "--library-path", library_path, str(self.path / program)]

    @property
    def environment(self) -> dict[str, str]:
        """QEMU's environment variables: it cannot find its modules in this folder by itself."""
        return {"QEMU_MODULE_DIR": str(self.path / LIBRARIES / "qemu")}

    @property
    def firmware(self) -> list[Path]:
        """The folders of QEMU's firmware."""
        return [self.path / "usr/share" / name for name in ("qemu", "seabios")]

    def runtime(self) -> dict[str, Path]:
        """Return the OCI runtime, its libraries and loader: name in the guest's folder, and file."""
        libraries = {name: self.path / LIBRARIES / name for name in self._libraries("usr/bin/crun")}
        return {
            "crun": self.path / "usr/bin/crun",
            "ld.so": self.path / LOADER,
            **{f"lib/{name}": path for name, path in libraries.items()},
        }

    def _libraries(self, program: str) -> list[str]:
        """Return the shared libraries of a program, as its loader lists them."""
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
    """Return the tools, unpacked once.  Raises `Unobtainable`."""
    made = cache("tools") / hashlib.sha256(" ".join((SUITE, *PACKAGES)).encode()).hexdigest()[:16]
    with filelock.FileLock(cache("tools") / "lock", timeout=MAKING_SECONDS):
        if not made.exists():
            fresh = run.scratch() / "tools"
            _make(fresh, run, say)
            fresh.rename(made)
    return _read(made)


def _make(folder: Path, run: RunResources, say: Say) -> None:
    archives = run.scratch()
    say(f"fetching QEMU and its libraries from Debian's {SUITE}, about 40 MB")
    files = deb_packages.assemble(MirrorSuite(SUITE, say), PACKAGES, archives, folder)
    (folder / "packages").write_text("".join(f"{file.stem.replace('%3a', ':')}\n" for file in files))
    shutil.rmtree(archives)


def _packages(file: Path) -> str:
    try:
        return regular_file.read(file).decode()
    except (OSError, UnicodeDecodeError) as problem:
        raise Unobtainable(f"{file} is damaged: {problem}", "delete its folder and run again") from problem


def _read(made: Path) -> QemuTools:
    packages = _packages(made / "packages")
    versions = dict(_PACKAGE.findall(packages))
    lacking = [name for name in PACKAGES if name not in versions]
    if lacking:
        raise Unobtainable(f"{made} lacks {', '.join(lacking)}", "delete that folder and run again")
    digest = hashlib.sha256(packages.encode()).hexdigest()[:16]
    return QemuTools(made, versions["qemu-system-x86"], versions["crun"], digest)
