"""A machine's root as an initramfs, for kernels that have no driver of the disk built in: the disk's files, as a cpio.

It is not compressed, since an emulated CPU takes longer to unpack than QEMU takes to load.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import filelock

from worldswitch.harness.environments.cache import cache
from worldswitch.harness.environments.images.tree import Tree
from worldswitch.harness.environments.protocol import Say
from worldswitch.harness.environments.run_resources import RunResources
from worldswitch.harness.environments.vm import disk
from worldswitch.harness.environments.vm.toolbox import QemuTools

KEPT = 2


def obtain(tree: Tree, tools: QemuTools, run: RunResources, say: Say) -> Path:
    """Return the initramfs with this tree, made once."""
    name = hashlib.sha256(f"{disk.LAYOUT} {tree.id} {tools.id}".encode()).hexdigest()[:16]
    made = cache("initramfs") / f"{name}.cpio"
    with filelock.FileLock(cache("initramfs") / "lock", timeout=disk.SECONDS):
        if not made.exists():
            say("making an initramfs from the image")
            _make(tree, tools, run).rename(made)
        os.utime(made)
        for old in sorted(made.parent.glob("*.cpio"), key=lambda file: file.stat().st_mtime, reverse=True)[KEPT:]:
            old.unlink(missing_ok=True)
    return made


def _make(tree: Tree, tools: QemuTools, run: RunResources) -> Path:
    work = run.scratch()
    root = work / "root"
    disk.lay_out(root, tree.path, tools.runtime())
    with (work / "made.cpio").open("wb") as file:
        write(root, file)
    shutil.rmtree(root, ignore_errors=True)
    return work / "made.cpio"


def write(root: Path, file: BinaryIO) -> None:
    """Write the tree below `root` as a cpio in the format newc (Documentation/driver-api/early-userspace)."""
    for number, path in enumerate(_entries(root), 1):
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode):
            content = os.fsencode(path.readlink())
        else:
            content = path.read_bytes() if stat.S_ISREG(found.st_mode) else b""
        _entry(file, os.fsencode(path.relative_to(root)), found, number, content)
    _entry(file, b"TRAILER!!!", os.stat_result([0] * 10), 0, b"")


def _entries(root: Path) -> Iterator[Path]:
    """The folders, files and links below `root`, each folder before its content."""
    kinds = (stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK)
    yield from (path for path in sorted(root.rglob("*")) if stat.S_IFMT(path.lstat().st_mode) in kinds)


def _entry(file: BinaryIO, name: bytes, found: os.stat_result, number: int, content: bytes) -> None:
    """Write one entry: thirteen numbers, the name, the content, each part padded to four bytes."""
    owner = [0 if found.st_uid == os.geteuid() else found.st_uid, 0 if found.st_gid == os.getegid() else found.st_gid]
    size = len(content)
    fields = [number, found.st_mode, *owner, 1, int(found.st_mtime), size, 0, 0, 0, 0, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name + b"\0"
    for part in (head, content):
        file.write(part + bytes(-len(part) % 4))
