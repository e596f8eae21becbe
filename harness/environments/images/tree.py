"""The image as a tree of files, made without an engine: for a plain runtime, and for a VM's disk.

It is made by the steps of the Containerfile and has the same content name as an engine's image on the same base.  A
finished tree is read-only and shared by concurrent runs.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import filelock
import msgspec

from worldswitch.harness import decoding
from worldswitch.harness.environments import installation
from worldswitch.harness.environments.cache import cache
from worldswitch.harness.environments.images import chroot, containerfile, rootfs, site_packages, unpacking
from worldswitch.harness.environments.images.apt import Source, sources
from worldswitch.harness.environments.images.containerfile import REPOSITORY, SITE
from worldswitch.harness.environments.images.site_packages import QUESTIONS, ImageTarget, dotted
from worldswitch.harness.environments.oci.spec import INIT
from worldswitch.harness.environments.protocol import Say
from worldswitch.harness.environments.run_resources import RunResources
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.linux import regular_file

KEPT = 3  #: unused trees to keep
PATIENCE = 1.0  #: seconds of waiting before a message says so
UNPACK_SECONDS = 600.0
MAKING_SECONDS = 900.0  #: another run's limit for making a tree

#: Mount points: a runtime cannot create them in a read-only tree.
FOLDERS = ("dev/mqueue", "dev/pts", "dev/shm", "etc", "proc", "run", "sbin", "sys", "tmp", "var/tmp")
OPEN_FOLDERS = ("tmp", "var/tmp")
#: Files that engines add to each container.
FILES = {"etc/hostname": "container\n", "etc/hosts": "127.0.0.1\tlocalhost\n::1\tlocalhost\n", "etc/resolv.conf": ""}
TINI = "usr/bin/tini-static"  #: the init that engines have, from Debian's package


@dataclass(frozen=True, slots=True)
class Tree:
    """An image as files, with the configuration that an engine would store."""

    path: Path  #: the root folder
    id: str  #: digest of its inputs
    base: str
    environment: tuple[str, ...]  #: ``NAME=value``
    folder: str  #: working directory of processes

    def tar(self, to: Path) -> Path:
        """Write it as a reproducible tar file; returns `to`."""
        with tarfile.open(to, "w") as tar:
            for path in sorted(self.path.rglob("*")):
                tar.add(path, str(path.relative_to(self.path)), recursive=False, filter=_plain)
        return to


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


class _Known(msgspec.Struct, frozen=True):
    """The contents of `tree.json`."""

    base: str
    environment: tuple[str, ...]
    folder: str


def obtain(run: RunResources, say: Say) -> Tree:
    """Find or make the tree; it is kept while the run's folder exists.  Raises `Unobtainable`."""
    where = sources()
    base = f"{REPOSITORY}-base:{rootfs.key(where)}"
    made = cache("tree") / containerfile.contents(base)
    with _exclusive(made, say):
        (run.folder / f"{made.name}.tree").touch()
        if not made.exists():
            _make(base, where, run, say).rename(made)
        os.utime(made)
    _forget_old(run)
    return _read(made)


@contextmanager
def _exclusive(made: Path, say: Say) -> Iterator[None]:
    """Hold the lock that making and removing this tree need."""
    lock = _lock(made)
    try:
        lock.acquire(timeout=PATIENCE)
    except filelock.Timeout:
        say("waiting for another run that is making the image")
        lock.acquire(timeout=MAKING_SECONDS)
    try:
        yield
    finally:
        lock.release()


def _lock(made: Path) -> filelock.BaseFileLock:
    return filelock.FileLock(made.with_suffix(".lock"))


def _read(made: Path) -> Tree:
    try:
        known = decoding.from_json(regular_file.read(made / "tree.json"), _Known)
    except (OSError, msgspec.DecodeError) as problem:
        raise Unobtainable(f"{made / 'tree.json'} is damaged: {problem}", f"delete {made} and run again") from problem
    return Tree(made / "root", made.name, known.base, known.environment, known.folder)


def _forget_old(run: RunResources) -> None:
    """Remove all but the newest `KEPT` trees that no run uses."""
    named = _named()
    trees = [path for path in cache("tree").iterdir() if path.is_dir() and path.name not in named]
    for old in sorted(trees, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT:]:
        with suppress(filelock.Timeout, OSError), _lock(old).acquire(timeout=0):
            if old.name not in _named():
                old.rename(run.scratch() / "old")  # atomic: a partial tree would look complete


def _named() -> set[str]:
    return {path.stem for path in cache("runs").glob("*/*.tree")}


# ---------------------------------------------------------------------------------------------------------- making


def _make(base: str, where: list[Source], run: RunResources, say: Say) -> Path:
    steps = containerfile.read(containerfile.containerfile())
    made = run.scratch()
    root = made / "root"
    _unpack(rootfs.obtain(where, run, say), root)
    _add_container_files(root)
    target = _inspect(root, base)
    say(f"making the image on {base}: Python {dotted(target.python)}, glibc {dotted(target.glibc)}")
    shutil.move(_site(target, run), root / SITE)
    _normalise(root / SITE)
    for command in steps.commands:
        chroot.run(root, command, doing=f"`{' '.join(command)}` in the image")
    known = _Known(base, (chroot.PATH, *steps.environment), steps.folder)
    (made / "tree.json").write_bytes(msgspec.json.encode(known))
    made.chmod(0o755)
    return made


def _unpack(tar: Path, root: Path) -> None:
    root.mkdir()
    try:
        with tarfile.open(tar) as content:
            unpacking.unpack(content, root, UNPACK_SECONDS)
    except (tarfile.TarError, OSError, ValueError, EOFError) as problem:
        raise Unobtainable(
            f"the root file system {tar} cannot be unpacked: {problem}", f"delete {tar} and run again"
        ) from problem
    root.chmod(0o755)


def _add_container_files(root: Path) -> None:
    for name in FOLDERS:
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in OPEN_FOLDERS:
        (root / name).chmod(0o1777)
    for name, text in FILES.items():
        (root / name).unlink(missing_ok=True)
        (root / name).write_text(text)
    shutil.copy(root / TINI, root / INIT.lstrip("/"))
    (root / SITE).parent.mkdir(parents=True, exist_ok=True)


def _inspect(root: Path, base: str) -> ImageTarget:
    # -B: bytecode written here would differ from the engine's image.
    answers = chroot.run(root, ["python3", "-B", "-c", QUESTIONS], doing=f"running the Python of {base}")
    return site_packages.target(answers, base)


def _site(target: ImageTarget, run: RunResources) -> Path:
    checkout = installation.checkout()
    site = site_packages.assemble(run, target, site_packages.wheel(run, checkout) if checkout else None)
    if (needed := site_packages.highest_glibc(site)) > target.glibc:
        raise Unobtainable(
            f"the package built here needs glibc {dotted(needed)}, the image has {dotted(target.glibc)}",
            "run on the distribution of the image, or use an engine: --engine docker",
        )
    return site


def _normalise(folder: Path) -> None:
    """Set the modes that an engine's build context has, so that the image does not depend on this user."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
