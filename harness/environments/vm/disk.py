"""A machine's root disk: the image's files as they are, what the image lacks to be booted, and the OCI runtime.

    /image        the image's tree, the same that containers have as their root
    /bin ...      links into it, so that the image's Python finds what it needs; suites without container see them too
    /runtime      the OCI runtime with libraries of its own

Machines write to copies of their own in memory (QEMU's snapshots), so that all on this host share one file.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import filelock

from worldswitch.harness.environments import guardian
from worldswitch.harness.environments.cache import cache
from worldswitch.harness.environments.run_resources import RunResources
from worldswitch.harness.errors import Unobtainable

if TYPE_CHECKING:
    from worldswitch.harness.environments.images.tree import Tree
    from worldswitch.harness.environments.protocol import Say
    from worldswitch.harness.environments.vm.toolbox import QemuTools

LAYOUT = 1  #: to be counted up when the same tree and tools make another disk
KEPT = 3
SECONDS = 300.0
BLOCK = 4096
ROOM = 64 << 20  #: bytes free for what cells write outside of /tmp

#: The kernel mounts nothing on these itself.
FOLDERS = ("dev", "proc", "run", "runtime/lib", "sys", "tmp")
#: Of the image's own top folders, those that every cell has a new one of.
OWN = frozenset(("boot", "dev", "media", "mnt", "proc", "run", "sys", "tmp"))


def obtain(tree: Tree, tools: QemuTools, run: RunResources, say: Say) -> Path:
    """The disk with this tree, made once; raises `Unobtainable`."""
    name = hashlib.sha256(f"{LAYOUT} {tree.id} {tools.id}".encode()).hexdigest()[:16]
    made = cache("disks") / f"{name}.ext4"
    with filelock.FileLock(cache("disks") / "lock", timeout=SECONDS):
        if not made.exists():
            say("making a disk from the image")
            _make(tree, tools, run).rename(made)
        os.utime(made)
        _forget_old(made)
    return made


def _make(tree: Tree, tools: QemuTools, run: RunResources) -> Path:
    work = run.scratch()
    root = work / "root"
    lay_out(root, tree.path, tools.runtime())
    disk = work / "disk.ext4"
    with disk.open("wb") as file:
        file.truncate(_size(root))
    # A journal and reserved blocks are for disks that are written to, and live on.
    command = [*tools.command("usr/sbin/mke2fs"), "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d", str(root)]
    as_root = [] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--"]
    try:
        guardian.run([*as_root, *command, "-F", str(disk)], SECONDS, env={**os.environ, "MKE2FS_CONFIG": os.devnull})
    except subprocess.SubprocessError as problem:
        raise Unobtainable(
            f"the machines' disk cannot be made: {guardian.error_lines(problem)}", f"is there room in {work.parent}?"
        ) from problem
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return disk


def lay_out(root: Path, image: Path, runtime: dict[str, Path]) -> None:
    """Lay out the disk's files in the new folder `root`; the image's are linked to, and not copied."""
    root.mkdir(parents=True)
    for name in FOLDERS:
        (root / name).mkdir(parents=True)
    shutil.copytree(image, root / "image", symlinks=True, copy_function=os.link)
    for entry in sorted(image.iterdir()):
        if entry.name not in OWN and not (root / entry.name).exists():
            (root / entry.name).symlink_to(f"image/{entry.name}")
    for name, path in runtime.items():
        shutil.copy(path, root / "runtime" / name)


def _size(root: Path) -> int:
    """Room for all of it, each file in whole blocks with an inode's share, and some more."""
    entries = [path.lstat().st_size for path in root.rglob("*")]
    content = sum((size + BLOCK - 1) // BLOCK * BLOCK + 512 for size in entries)
    return (content * 21 // 20 + ROOM) // BLOCK * BLOCK


def _forget_old(used: Path) -> None:
    """Of older disks a few stay; who runs on one has it open, and loses nothing."""
    disks = sorted(cache("disks").glob("*.ext4"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in disks[KEPT:]:
        if old != used:
            old.unlink(missing_ok=True)
